from __future__ import annotations

from typing import Any

import pytest
import torch

from mavis_core.sample.companions import CompanionTensors, add_columns
from tests.mavis_core.rows import rows

B, G, K, V = 4, 3, 5, 11


def row(*prompts: list[int]) -> Any:
    return rows([3, 4], prompted=prompts)[0]


def tensors(*guided: Any) -> CompanionTensors:
    return CompanionTensors(guided, torch.tensor([2.0, 1.0, 0.5])[: len(guided)])


def numbers(companions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    raw, beside = torch.randn(B, V, generator=generator), torch.randn(companions, V, generator=generator)
    return raw, beside, torch.stack([torch.randperm(V, generator=generator)[:K] for _ in range(G)])


def test_values_are_log_ratios_at_the_candidates_of_the_companions_row() -> None:
    """The first row has two companions, the second none, the third one, and says nothing with its other objective."""
    found = tensors(row([5, 3, 4], [6, 3, 4]), row([3, 4]), row([3, 4], [7, 3, 4]))
    raw, beside, candidates = numbers(3)
    values = found.values(raw, beside, candidates)
    assert values.shape == (G, K, 2)
    for g, column, companion in ((0, 0, 0), (0, 1, 1), (2, 1, 2)):
        expected = beside[companion].double().log_softmax(0) - raw[g].double().log_softmax(0)
        assert values[g, :, column].tolist() == pytest.approx(expected[candidates[g]].tolist(), abs=1e-5)
    assert not values[1].any() and not values[2, :, 0].any()
    assert found.weights.tolist() == [[1, 1], [1, 0], [1, 1]]
    assert found.pull.tolist() == [[2, 2], [1, 0], [0.5, 0.5]]


def test_a_rows_numbers_do_not_depend_on_how_many_its_neighbours_have() -> None:
    """To the last bit, combined with what loaded values add."""
    one = row([5, 3, 4], [6, 3, 4], [7, 3, 4])
    many = row(*[[8 + i, 3, 4] for i in range(6)])
    raw, beside, candidates = numbers(9)
    alone, together = tensors(one), tensors(one, many)
    combined = torch.randn(2, K, generator=torch.Generator().manual_seed(2))
    first = add_columns(combined[:1], alone.values(raw, beside[:3], candidates[:1]), alone.pull)
    both = add_columns(combined, together.values(raw, beside, candidates[:2]), together.pull)
    assert torch.equal(first[0], both[0])


def test_what_is_not_finite_stays_with_its_row() -> None:
    found = tensors(row([5, 3, 4]), row([6, 3, 4]))
    raw, beside, candidates = numbers(2)
    beside[0, 0] = torch.nan
    values = add_columns(torch.zeros(2, K), found.values(raw, beside, candidates[:2]), found.pull)
    assert values[0].isnan().all()
    assert values[1].isfinite().all()
