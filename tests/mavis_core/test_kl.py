from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.candidates import find_candidates
from mavis_core.kl import kl_parts, sampled_kl, steering_kl, truncation_kl
from mavis_core.noise import gumbel, position_keys, row_key, token_hashes
from mavis_core.tilt import tilted_logprobs


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 23), st.integers(1, 23), st.floats(0, 8))
def test_the_parts_sum_to_the_kl_over_the_whole_vocabulary(seed: int, vocab: int, k: int, beta: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, vocab, generator=generator) * 2
    width = min(k, vocab)
    found = find_candidates(logits, logits, torch.full((3,), width), width)
    logprobs = tilted_logprobs(found.reference, beta * torch.randn(3, width, generator=generator))
    steering, truncation = steering_kl(found.reference, logprobs), truncation_kl(found.reference)
    for b in range(3):
        reference = logits[b].double().log_softmax(0)
        p = torch.zeros(vocab, dtype=torch.float64)
        p[found.ids[b]] = logprobs[b].double().exp()
        exact = sum(x * (math.log(x) - reference[a].item()) for a, x in enumerate(p.tolist()) if x > 0)
        assert (steering + truncation)[b].item() == pytest.approx(exact, abs=2e-5)


def test_truncation_alone_is_what_a_small_k_pays() -> None:
    """Half the mass kept costs ln 2, without any tilt."""
    logits = torch.tensor([[0.3, 0.25, 0.2, 0.15, 0.1]]).log()
    found = find_candidates(logits, logits, torch.tensor([2]), 2)
    p = tilted_logprobs(found.reference, torch.zeros(1, 2))
    assert steering_kl(found.reference, p).item() == 0
    assert truncation_kl(found.reference).item() == pytest.approx(-math.log(0.55), abs=1e-6)


def test_steering_ignores_masked_candidates_and_the_normaliser() -> None:
    reference = torch.tensor([[0.5, 0.25, 0.0]]).log()
    p = torch.tensor([[0.5, 0.5, 0.0]]).log()
    exact = 0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))
    assert steering_kl(reference, p).item() == pytest.approx(exact, abs=1e-6)
    assert steering_kl(reference + 3.0, p).item() == pytest.approx(exact, abs=1e-6)


def test_the_one_sample_estimate_is_unbiased() -> None:
    """Its exact mean over p is the KL, and so is the mean over many Gumbel-max draws, within four errors."""
    logits = torch.tensor([[1.0, 0.0, -1.0, 0.5, 0.2, -0.3, 0.9]])
    found = find_candidates(logits, logits, torch.tensor([5]), 5)
    logprobs = tilted_logprobs(found.reference, torch.tensor([[0.0, 2.0, -1.0, 0.5, 1.0]]))
    exact = (steering_kl(found.reference, logprobs) + truncation_kl(found.reference)).item()
    each = sampled_kl(logprobs[0], found.reference[0])
    assert (logprobs[0].exp() * each).sum().item() == pytest.approx(exact, abs=1e-6)
    draws = 20000
    keys = torch.tensor([row_key(7, choice) for choice in range(draws)], dtype=torch.int64)
    noise = gumbel(position_keys(keys, torch.zeros(draws, 1, dtype=torch.int64)), token_hashes(7)[found.ids[0]])
    samples = each[(logprobs + noise).argmax(1)]
    assert samples.mean().item() == pytest.approx(exact, abs=4 * samples.std().item() / draws**0.5)
    assert samples.std().item() > exact


@pytest.mark.parametrize("valid", [7, 5])
def test_both_parts_from_one_normaliser(valid: int) -> None:
    generator = torch.Generator().manual_seed(valid)
    reference = (torch.randn(3, 11, generator=generator)).log_softmax(dim=1)[:, :7].clone()
    reference[:, valid:] = -torch.inf
    logprobs = (reference + torch.randn(3, 7, generator=generator)).log_softmax(dim=1)
    ratio, mass = kl_parts(reference, logprobs, valid == 7)
    torch.testing.assert_close(ratio + mass.log(), steering_kl(reference, logprobs))
    torch.testing.assert_close(-mass.log(), truncation_kl(reference))
