from __future__ import annotations

import math

import pytest
import torch

from mavis_core.sample.candidates import find_candidates


@pytest.mark.parametrize(("rows", "vocab", "width"), [(3, 13, 5), (5, 11, 5), (2, 3, 7)])
def test_equals_a_sorted_list(rows: int, vocab: int, width: int) -> None:
    scaled = torch.randn(rows, vocab, generator=torch.Generator().manual_seed(vocab))
    k = torch.arange(1, rows + 1)
    found = find_candidates(scaled, scaled, k, width)
    assert found.valid is not None
    for b in range(rows):
        order = sorted(range(vocab), key=lambda a: -scaled[b, a].item())[: min(int(k[b]), vocab)]
        valid = found.valid[b]
        normaliser = math.log(sum(math.exp(x) for x in scaled[b].tolist()))
        assert found.ids[b][valid].tolist() == order
        expected = torch.tensor([scaled[b, a].item() - normaliser for a in order])
        torch.testing.assert_close(found.reference[b][valid], expected)
        assert torch.all(found.reference[b][~valid] == -torch.inf)


def test_filtered_tokens_are_no_candidates_but_count_in_the_reference() -> None:
    scaled = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    surviving = scaled.clone()
    surviving[0, [1, 3]] = -torch.inf
    found = find_candidates(scaled, surviving, torch.tensor([3]), 3)
    assert found.valid is not None
    assert found.ids[0, :2].tolist() == [0, 2]
    assert found.valid.tolist() == [[True, True, False]]
    torch.testing.assert_close(found.reference[0, :2].exp(), torch.tensor([0.4, 0.2]))
