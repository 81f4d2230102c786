from __future__ import annotations

import math

import pytest

from mavis_core.search.kl_bound import best_of_bound, chunk_bound


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_best_of_n_of_many_texts_costs_the_bound(n: int) -> None:
    """With 20,000 equally likely texts of distinct scores, P(i-th) = (i/N)^n - ((i-1)/N)^n: the bound is tight."""
    count = 20_000
    p = [(i / count) ** n - ((i - 1) / count) ** n for i in range(1, count + 1)]
    kl = sum(x * math.log(x * count) for x in p if x > 0)
    assert kl <= best_of_bound(n) + 1e-9
    assert kl == pytest.approx(best_of_bound(n), abs=2e-3)


def test_no_choice_costs_nothing_and_rounds_add_up() -> None:
    assert best_of_bound(1) == chunk_bound(1, 1, 5) == 0
    assert chunk_bound(1, 4, 3) == pytest.approx(3 * best_of_bound(4))
    assert chunk_bound(3, 4, 2) == pytest.approx(math.log(3 * 4 * 4))
