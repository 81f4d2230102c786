"""Noise made ahead is the noise of each position, whether the vocabulary is small enough for it or not."""

import pytest
import torch

from mavis_core.sample.noise import gumbel, position_keys, token_hashes
from mavis_core.sample.noise_ahead import BUDGET, KEYS_AHEAD, NoiseAhead
from mavis_core.schedule.seeds import row_key


@pytest.mark.parametrize(
    ("rows", "vocab"), [(1, 11), (3, 257), (7, BUDGET // 40), (3, BUDGET // 3), (2, BUDGET // 3), (5, BUDGET)], ids=str
)
@pytest.mark.parametrize("greedy", [False, True])
def test_equals_the_noise_of_every_position(rows: int, vocab: int, greedy: bool) -> None:
    keys = torch.tensor([row_key(seed, 0) for seed in range(rows)])
    start = torch.arange(rows) * 7
    hashes = token_hashes(vocab)
    scale = torch.tensor([float(i % 2) for i in range(rows)]) if greedy else None
    guided = rows - rows // 2
    noise = NoiseAhead(keys, start, hashes, scale, guided)
    candidates = torch.arange(guided)[:, None] * 3 % vocab + torch.arange(5) % vocab
    steps = KEYS_AHEAD + 3 if vocab < BUDGET // 3 else 3
    for step in range(steps):
        expected = gumbel(position_keys(keys, start[:, None] + step), hashes)
        if scale is not None:
            expected *= scale[:, None]
        assert torch.equal(noise.over_vocabulary(), expected[guided:])
        chosen = noise.of_candidates(candidates)
        assert torch.equal(chosen, expected[:guided].gather(1, candidates))
        noise.advance()


def test_a_long_row_outlives_the_keys_without_noise_made_ahead() -> None:
    keys, start, hashes = torch.tensor([row_key(3, 1)]), torch.tensor([2]), token_hashes(BUDGET)
    noise = NoiseAhead(keys, start, hashes, None, 1)
    ids = torch.tensor([[5, BUDGET - 1]])
    for step in range(2 * KEYS_AHEAD + 1):
        expected = gumbel(position_keys(keys, start[:, None] + step), hashes[ids])
        assert torch.equal(noise.of_candidates(ids), expected)
        noise.advance()
