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


def test_the_likeliest_end_is_the_last_candidate_where_none_is_there() -> None:
    """Rows: two ends far down; an end among the likeliest; no end named; one candidate only; ends that are filtered;
    fewer tokens left than asked for."""
    scaled = torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]).repeat(6, 1)
    surviving = scaled.clone()
    surviving[4, 4:] = -torch.inf
    surviving[5, 1:4] = -torch.inf
    ends = torch.tensor([[5, 4], [1, 5], [-1, -1], [5, -1], [5, 4], [4, -1]])
    k = torch.tensor([3, 3, 3, 1, 3, 4])
    found = find_candidates(scaled, surviving, k, 4, ends=ends)
    assert found.valid is not None
    ids = [row[valid].tolist() for row, valid in zip(found.ids, found.valid, strict=True)]
    assert ids == [[0, 1, 4], [0, 1, 2], [0, 1, 2], [0], [0, 1, 2], [0, 4, 5]]
    logprobs = scaled.log_softmax(dim=1)
    torch.testing.assert_close(found.reference[found.valid], logprobs.gather(1, found.ids)[found.valid])


def test_a_full_row_stays_full_with_its_end() -> None:
    scaled = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    found = find_candidates(scaled, scaled, torch.tensor([2]), 2, full=True, ends=torch.tensor([[3]]))
    assert found.valid is None
    assert found.ids.tolist() == [[0, 3]]
    torch.testing.assert_close(found.reference, scaled.log_softmax(dim=1)[:, [0, 3]])
