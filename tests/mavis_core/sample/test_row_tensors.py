"""Row state on the device: what advancing makes of it equals what building it anew from the grown rows would."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.sample.noise import token_hashes
from mavis_core.sample.row_tensors import RowTensors, first
from mavis_core.schedule.row import Row
from tests.mavis_core.rows import VOCAB, rows

BLOCK, BLOCKS = 3, 29
POOL = KVPool(CacheSpec(1, 1, 2), BLOCKS, BLOCK, torch.float32, torch.device("cpu"))
HASHES = token_hashes(VOCAB)


def batch() -> list[Row]:
    """Two guided rows and two that are not, each with the blocks for one more token."""
    guided = [
        Guidance({"a": 1.0, "c": 0.0}, beta=2.0, top_k=7, max_kl_per_token=0.5),
        Guidance({"b": -2.0}, top_k=5, normalise="minmax"),
    ]
    plain = [SamplingParams(temperature=0, top_k=4), SamplingParams(temperature=0.5, top_p=0.9, presence_penalty=0.3)]
    made = [rows([1] * (2 + i), SamplingParams(seed=i), g)[0] for i, g in enumerate(guided)]
    made += [rows([2] * (5 + i), s)[0] for i, s in enumerate(plain)]
    for i, each in enumerate(made):
        each.blocks = [7 * i + j for j in range(-(-(len(each.tokens) + 1) // BLOCK))]
    return made


def grow(made: list[Row], tokens: list[int]) -> None:
    for i, (each, token) in enumerate(zip(made, tokens, strict=True)):
        each.tokens.append(token)
        if len(each.blocks) * BLOCK < len(each.tokens) + 1:
            each.blocks.append(7 * i + len(each.blocks))


def test_settings_stand_where_their_rows_do() -> None:
    tensors = RowTensors(batch(), POOL, HASHES)
    assert tensors.guided == 2
    assert tensors.temperature.tolist() == [1, 1, 1, 0.5]
    assert tensors.filters is not None
    assert tensors.filters.top_k.tolist() == [VOCAB, VOCAB, 4, VOCAB]
    assert tensors.scaled
    assert (tensors.k.tolist(), tensors.width) == ([7, 5], 7)
    assert tensors.beta.tolist() == [2, 3]  # the second one's is what its objective recommends
    assert tensors.weights.tolist() == [[1, 0, 0], [0, -2, 0]]
    assert tensors.tilt_weights.tolist() == [[2, 0, 0], [0, -6, 0]]
    assert tensors.named[:, 0].tolist() == [[True, False, True], [False, True, False]]
    assert tensors.limit.tolist() == [0.5, torch.inf]
    assert tensors.minmax.tolist() == [False, True]
    assert tensors.ranks is None


@pytest.mark.parametrize(
    ("sampling", "guidance", "full"),
    [
        ([{}, {}], [{"top_k": 7}, {"top_k": 7}], True),
        ([{}, {}], [{"top_k": 7}, {"top_k": 5}], False),
        ([{"top_k": 9}, {}], [{"top_k": 7}, {"top_k": 7}], False),
        ([{"stop_token_ids": (3, 4)}, {}], [{"top_k": 255}, {"top_k": 255}], False),
        ([{"stop_token_ids": (3, 4)}, {}], [{"top_k": 254}, {"top_k": 254}], True),
    ],
)
def test_only_rows_that_surely_have_all_candidates_are_full(
    sampling: list[dict[str, Any]], guidance: list[dict[str, Any]], full: bool
) -> None:
    """Stop tokens may be banned: so many fewer are left of the 257."""
    made = [
        rows([1], SamplingParams(**s), Guidance({"a": 1.0}, **g))[0] for s, g in zip(sampling, guidance, strict=True)
    ]
    for each in made:
        each.blocks = [0]
    assert RowTensors(made, POOL, HASHES).full is full


def test_steps_on_the_device_equal_rows_built_anew() -> None:
    made = batch()
    going = RowTensors(made, POOL, HASHES)
    POOL.data.zero_()
    for step in range(2 * BLOCK + 1):
        tokens = [(11 * step + 3 * i) % VOCAB for i in range(len(made))]
        going.advance(torch.tensor(tokens))
        grow(made, tokens)
        assert going.follows(made)
        going.tracks.sync_blocks()
        anew = RowTensors(made, POOL, HASHES)
        for name in ("last_token", "newest", "length"):
            assert torch.equal(getattr(going.tracks, name), getattr(anew.tracks, name)), name
        columns = max(len(each.blocks) for each in made)
        assert torch.equal(going.tracks.block_table[:, :columns], anew.tracks.block_table[:, :columns])
        assert torch.equal(going.noise.over_vocabulary(), anew.noise.over_vocabulary())
        logits = torch.randn(len(made), VOCAB)
        assert torch.equal(going.edits.apply(logits), anew.edits.apply(logits))
        ours, theirs = going.tracks.decode_attention(POOL), anew.tracks.decode_attention(POOL)
        query, key, value = (torch.randn(4, heads, 2) for heads in (3, 1, 1))
        one = ours.attend(0, query, key, value, AttentionSpec(1.0))
        assert torch.equal(one, theirs.attend(0, query, key, value, AttentionSpec(1.0)))
    assert going.max_length == max(len(each.tokens) for each in made)


def test_other_rows_or_too_many_blocks_need_new_tensors() -> None:
    made = batch()
    going = RowTensors(made, POOL, HASHES)
    assert not going.follows(made[:-1])
    assert not going.follows([*made[1:], made[0]])
    made[0].blocks = list(range(BLOCKS))
    assert not going.follows(made)


def test_greedy_rows_have_no_noise() -> None:
    noise = RowTensors(batch(), POOL, HASHES).noise.over_vocabulary()
    assert (noise[0] == 0).all() and (noise[1] != 0).any()


def test_the_first_rows_of_all_rows_are_the_tensor_itself() -> None:
    numbers = torch.arange(5)
    assert first(numbers, 5) is numbers
    assert first(numbers, 2).tolist() == [0, 1]
