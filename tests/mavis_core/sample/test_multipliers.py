"""What ``solve`` finds is the optimum: by the conditions that the optimum meets, and by the slow method."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mavis_core.reference_multipliers import Pull, ReferenceStep
from mavis_core.sample.multipliers import Problem, Solution, at, solve

CANDIDATES, FLOORED = 11, 2
MOST = 30.0


def problems(rows: int, seed: int, limited: bool) -> Problem:
    """Rows with up to two floors and the worst case of none, two or three; some objectives say nearly the same."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    reference = (normal(rows, CANDIDATES) * 3).log_softmax(1)
    reference[::7, -3:] = -torch.inf
    values = normal(rows, FLOORED + 3, CANDIDATES) * 2 * uniform(rows, 1, 1)
    values[::5, 1] = 0.97 * values[::5, 0] + 0.03 * values[::5, 1]
    floors = torch.full((rows, FLOORED + 3), -torch.inf, dtype=torch.float64)
    start, best = (reference.exp()[:, None] * values).sum(2), values.amax(2)
    floors[:, :FLOORED] = (start + (best - start) * (1.2 * uniform(rows, FLOORED + 3) - 0.2))[:, :FLOORED]
    counts = torch.arange(rows)
    floors[counts % 3 < 2, 1] = -torch.inf
    floors[counts % 3 < 1, 0] = -torch.inf
    shared = torch.zeros(rows, FLOORED + 3, dtype=torch.bool)
    shared[counts % 4 > 1, FLOORED : FLOORED + 2] = True
    shared[counts % 4 == 3, FLOORED + 2] = True
    most = MOST * (floors > -torch.inf).double()
    used = (shared | (most > 0))[:, :, None] & (reference > -torch.inf)[:, None]
    limit = uniform(rows) if limited else torch.full((rows,), torch.inf, dtype=torch.float64)
    tilt = torch.where(reference > -torch.inf, normal(rows, CANDIDATES) * 3 * uniform(rows, 1), 0.0)
    strength = torch.where(shared.any(1), 4 * uniform(rows), 0.0)
    return Problem(reference, tilt, values * used, floors, most, shared, strength, limit)


def numbers(problem: Problem, solution: Solution) -> tuple[Tensor, Tensor]:
    """(E_p[V] (R, F), KL (R,))."""
    logprobs = (problem.reference + solution.tilt).log_softmax(1)
    p, ratio = logprobs.exp(), logprobs - problem.reference.log_softmax(1)
    kl = torch.where(p > 0, p * ratio, 0.0).sum(1)
    return (p[:, None] * problem.values).sum(2), kl


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_at_its_optimum(seed: int) -> None:
    """Multipliers are at least 0 and belong to floors that are tight, those of the worst case to the least of it."""
    problem = problems(90, seed, limited=False)
    solution = solve(problem, False)
    expected, _ = numbers(problem, solution)
    torch.testing.assert_close(solution.tilt, problem.tilted(solution.pull, solution.share))
    floored, pull = problem.floors > -torch.inf, solution.pull
    assert (pull >= 0).all() and (pull[floored] <= MOST).all() and (pull[~floored & ~problem.shared] == 0).all()
    above = expected - problem.floors
    free = floored & (pull < MOST)
    assert (above[free] >= -1e-6).all()
    assert (above[free & (pull > 0)] <= 1e-6).all()
    assert torch.equal(solution.missed, floored & (above < -1e-4))
    assert (pull[solution.missed] == MOST).all() and solution.missed.any() and not solution.missed.all()
    for row in problem.shared.any(1).nonzero()[:, 0].tolist():
        mine, each = pull[row][problem.shared[row]], expected[row][problem.shared[row]]
        assert mine.sum().item() == pytest.approx(problem.strength[row].item())
        assert (each[mine > 0] <= each.min() + 1e-5).all()


def test_within_a_budget_it_equals_the_slow_method() -> None:
    problem = problems(12, 5, limited=True)
    solution = solve(problem, True)
    for row in (1, 5, 6):
        kept = problem.reference[row] > -torch.inf
        pulls = [
            Pull(
                problem.values[row, m][kept].tolist(),
                None if problem.shared[row, m] else problem.floors[row, m].item(),
                MOST,
            )
            for m in range(FLOORED + 3)
            if problem.shared[row, m] or problem.most[row, m] > 0
        ]
        reference, tilt = problem.reference[row][kept], problem.tilt[row][kept]
        step = ReferenceStep(reference.tolist(), tilt.tolist(), pulls, problem.strength[row].item())
        slow = (reference + torch.tensor(step.solve(problem.limit[row].item()))).softmax(0)
        fast = (reference + solution.tilt[row][kept]).softmax(0)
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5)


def test_the_budget_is_kept_floors_come_before_weights_and_nothing_is_left_over() -> None:
    problem = problems(90, 3, limited=True)
    solution = solve(problem, True)
    _, kl = numbers(problem, solution)
    assert (kl <= problem.limit + 1e-9).all()
    assert (kl[solution.share < 1] >= problem.limit[solution.share < 1] - 1e-3).all()
    alone = solve(replace(problem, limit=torch.full_like(problem.limit, torch.inf)), False)
    assert ((solution.share == 1) == (numbers(problem, alone)[1] <= problem.limit + 1e-9)).all()
    # Where weights are left of, the floors that can be met are met; where a floor is missed for the budget, nothing is.
    some = (solution.share > 1e-3) & (solution.share < 1)
    short = solution.missed & (solution.pull < 0.99 * MOST)
    assert some.any() and not short[some].any()


def test_two_candidates_by_hand() -> None:
    """ref = (3/4, 1/4), V = (0, 1): at least 1/2 takes ln 3 nats per unit; 1/5 holds already; 1 is out of reach."""
    reference = torch.tensor([[3.0, 1.0]] * 3, dtype=torch.float64).log()
    ones = torch.ones(3, 1, dtype=torch.float64)
    values = torch.tensor([[[0.0, 1.0]]] * 3, dtype=torch.float64)
    floors = torch.tensor([[0.5], [0.2], [1.0]], dtype=torch.float64)
    nothing, unlimited = torch.zeros(3, dtype=torch.float64), torch.full((3,), torch.inf, dtype=torch.float64)
    problem = Problem(reference, torch.zeros_like(reference), values, floors, 8 * ones, ones < 0, nothing, unlimited)
    solution = solve(problem, False)
    assert solution.pull[:, 0].tolist() == pytest.approx([math.log(3), 0.0, 8.0])
    assert solution.missed[:, 0].tolist() == [False, False, True]


def test_a_row_does_not_depend_on_its_neighbours_to_the_last_bit() -> None:
    """Nor on how many multipliers they have."""
    problem = problems(12, 4, limited=True)
    problem.tilt[1] = 0.0
    together = solve(problem, True)
    for row in (1, 2, 11):
        one = at(problem, torch.tensor([row]))
        used = (one.shared | (one.most > 0))[0].nonzero()[:, 0]
        if len(used) == 0:
            used = torch.tensor([0])
        narrow = Problem(
            one.reference, one.tilt, one.values[:, used], one.floors[:, used], one.most[:, used], one.shared[:, used],
            one.strength, one.limit,
        )  # fmt: skip
        fixed = not bool(one.shared.any() or (one.tilt != 0).any())
        for alone, columns in ((solve(one, not fixed), slice(None)), (solve(narrow, not fixed), used)):
            assert torch.equal(alone.tilt[0], together.tilt[row])
            assert torch.equal(alone.pull[0], together.pull[row][columns])
