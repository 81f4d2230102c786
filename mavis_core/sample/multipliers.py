"""The smallest tilt that keeps floors and lifts the worst of several objectives: Lagrange multipliers of one step.

With ref the candidates' distribution, t the tilt of the fixed weights, and the named objectives' values V,

    maximise    E_p[t] + beta min_{m in W} E_p[V_m] - KL(p || ref)
    subject to  E_p[V_m] >= c_m for every floor,   KL(p || ref) <= B

has the solution p ~ ref exp(gamma t + sum_m y_m V_m): each floor adds to its objective's weight what it needs (y_m, 0
where the floor holds anyway), the worst case shares out gamma beta over its objectives, and the budget scales down what
weights and worst case ask for (gamma, the largest in 0..1 that it leaves), so that floors come before them. For a
given gamma the y are the minimum of a convex function of as many numbers,

    f(y) = log sum_a ref(a) exp(gamma t_a + sum_m y_m V_m(a)) - sum_m y_m c_m,    0 <= y <= most,  sum_W y = gamma beta

found by Newton steps whose lengths are tried all at once: always as many, for all rows together, no host sync. Double
precision, because f is flat around its minimum. Sums over objectives go one column after the other, so that no row's
numbers depend, to the last bit, on how many its neighbours have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

NEWTON_STEPS = 16
WARM_STEPS = 4
"""From the solution for another gamma."""
BISECTIONS = 20
LENGTHS = 12
"""Of a step: 1, 1/2, ... and none."""
RIDGE = 1e-9
"""Added to variances, relative and absolute: objectives that say the same may share a pull in any way."""
NEARLY = 1e-7
"""Of what it may be at most: a multiplier so small counts as 0."""
TOLERANCE = 1e-4
"""What a floor may be missed by and still count as met, in the objective's units."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One step of R rows with at most F multipliers each; all float64 but ``shared``.

    Attributes:
        reference: (R, K) log ref up to a constant per row, nats; -inf where not valid.
        tilt: (R, K) of the fixed weights, nats; 0 where not valid.
        values: (R, F, K), in the objectives' units; 0 where not valid, and where a row has fewer multipliers.
        floors: (R, F) least expected value; -inf where the multiplier is of no floor.
        most: (R, F) what a floor's multiplier may be, nats per unit; 0 where it is of none.
        shared: (R, F) bool, whether the multiplier is of an objective of the worst case.
        strength: (R,) what those add up to, nats per unit.
        limit: (R,) most KL, nats; inf is no limit.
    """

    reference: Tensor
    tilt: Tensor
    values: Tensor
    floors: Tensor
    most: Tensor
    shared: Tensor
    strength: Tensor
    limit: Tensor

    def tilted(self, pull: Tensor, share: Tensor) -> Tensor:
        """gamma t + sum_m y_m V_m, (R, ..., K): ``pull`` (R, ..., F), ``share`` (R,)."""
        between = (1,) * (pull.dim() - 2)
        found = (share[:, None] * self.tilt).view(len(share), *between, -1)
        values = self.values.view(len(share), *between, *self.values.shape[1:])
        for m in range(pull.shape[-1]):
            found = found + pull[..., m, None] * values[..., m, :]
        return found


@dataclass(frozen=True, slots=True)
class Solution:
    """
    Attributes:
        tilt: (R, K) what makes p of ref, nats.
        share: (R,) gamma.
        pull: (R, F) y, nats per unit.
        missed: (R, F) bool, floors that p does not reach.
    """

    tilt: Tensor
    share: Tensor
    pull: Tensor
    missed: Tensor


def solve(problem: Problem, scaled: bool) -> Solution:
    """The best p of every row.

    A floor that its ``most`` does not reach is pulled at with all of it, and counts as missed. Where the floors alone
    cost more than the limit, their pull is scaled down like any tilt.

    Args:
        scaled: whether any row has multipliers, a limit and, beside floors, something that gamma scales.
    """
    share = torch.ones_like(problem.limit)
    pull = minimise(problem, share, _start(problem, share), NEWTON_STEPS)
    if scaled:
        # Other rows keep what they have, whether or not a neighbour needs this.
        over = _kl(problem, problem.tilted(pull, share)) > problem.limit
        over &= ((problem.most > 0) | problem.shared).any(1) & (problem.shared.any(1) | (problem.tilt != 0).any(1))
        share = torch.where(over, _affordable(problem, pull), share)
        again = minimise(problem, share, _onto(problem, share, pull), NEWTON_STEPS)
        pull = torch.where(over[:, None], again, pull)
    tilt = problem.tilted(pull, share)
    scale = _scale(problem, tilt)
    tilt = tilt * scale[:, None]
    p = (problem.reference + tilt).softmax(dim=1)
    missed = _expected(p, problem.values) < problem.floors - TOLERANCE
    return Solution(tilt, share * scale, pull * scale[:, None], missed)


def minimise(problem: Problem, share: Tensor, pull: Tensor, steps: int) -> Tensor:
    """y (R, F) that minimises f at gamma ``share`` (R,), from ``pull``, which must be allowed."""
    lengths = 0.5 ** torch.arange(LENGTHS, dtype=pull.dtype, device=pull.device)
    lengths[-1] = 0.0
    cost = torch.where(problem.floors > -torch.inf, problem.floors, 0.0)
    for _ in range(steps):
        pull, direction = _direction(problem, share, pull, cost)
        trials = _onto(problem, share, pull[:, None] + (lengths[:, None, None] * direction[:, None]).flatten(1, 2))
        found = (problem.reference[:, None] + problem.tilted(trials, share)).logsumexp(dim=2)
        found = found - _sum(trials * cost[:, None])
        best = found.argmin(dim=1)
        pull = trials.gather(1, best[:, None, None].expand(-1, 1, pull.shape[1]))[:, 0]
    return pull


def _direction(problem: Problem, share: Tensor, pull: Tensor, cost: Tensor) -> tuple[Tensor, Tensor]:
    """``pull``, and three ways (R, 3, F) on from it for those that are free to move.

    The Newton step up to the first bound in its way, on which it is sure to lead down; beyond that, where each stops at
    its own bound, floors and worst case by themselves no longer than their bounds lie apart; and straight down, where
    one that leaves its bound would be pushed back over it. One that is nearly at a bound that it would cross is on it
    from here on.
    """
    p = (problem.reference + problem.tilted(pull, share)).softmax(dim=1)
    mean = _expected(p, problem.values)
    apart = problem.values - mean[:, :, None]
    variances = ((p[:, None] * apart)[:, :, None] * apart[:, None]).sum(dim=3)
    shared, total = problem.shared.to(pull.dtype), share * problem.strength
    # In the worst case what counts is how much more an objective is expected to have than the mean of them.
    middle = _sum(pull * shared * mean) / torch.where(total > 0, total, 1.0)
    slope = mean - cost - shared * middle[:, None]
    most = torch.where(problem.shared, total[:, None], problem.most)
    low = (pull <= NEARLY * most) & (slope >= 0)
    high = ~problem.shared & (pull >= (1 - NEARLY) * most) & (slope <= 0)
    pull = torch.where(low, 0.0, torch.where(high, most, pull))
    free = (~(low | high)).to(pull.dtype)
    step, ones = _linear(variances, free, -slope * free, shared * free)
    size = _sum(ones * shared)
    step = step - ones * (_sum(step * shared) / torch.where(size > 0, size, 1.0))[:, None]
    room = torch.where(step < 0, pull, most - pull).clamp_min(0.0)
    first = _shorter(room, step).amin(dim=1, keepdim=True)
    whole = _shorter(most, step)
    among = torch.where(problem.shared, whole, 1.0).amin(dim=1, keepdim=True)
    beside = torch.where(problem.shared, 1.0, whole).amin(dim=1, keepdim=True)
    down = -slope * free
    down = down * (most.amax(dim=1) / down.abs().amax(dim=1).clamp_min(NEARLY))[:, None]
    return pull, torch.stack((step * first, step * torch.where(problem.shared, among, beside), down), dim=1)


def _shorter(room: Tensor, step: Tensor) -> Tensor:
    """The factor in 0..1 by which each part of a step has to be shorter to stay within ``room``."""
    return torch.where(step.abs() > room, room / step.abs(), 1.0)


def _linear(matrix: Tensor, free: Tensor, *sides: Tensor) -> tuple[Tensor, Tensor]:
    """Solve matrix x = side for both sides over the free indices: Gauss and Jordan, elementwise.

    ``matrix`` (R, F, F) is a covariance, so no pivot has to be looked for.
    """
    count = matrix.shape[1]
    identity = torch.eye(count, dtype=matrix.dtype, device=matrix.device)
    ridge = identity * (1 + RIDGE) + (1 - identity)
    system = matrix * ridge * free[:, :, None] * free[:, None] + identity * (1 - free + RIDGE)[:, :, None]
    system = torch.cat((system, torch.stack(sides, dim=2)), dim=2)
    for k in range(count):
        pivot = system[:, k] / system[:, k, k, None]
        factor = system[:, :, k] - identity[k]
        system = system - factor[:, :, None] * pivot[:, None]
    return system[:, :, count], system[:, :, count + 1]


def _start(problem: Problem, share: Tensor) -> Tensor:
    return _onto(problem, share, problem.shared.to(problem.tilt.dtype))


def _onto(problem: Problem, share: Tensor, pull: Tensor) -> Tensor:
    """The allowed multipliers next to ``pull`` (R, ..., F): within their bounds, those of the worst case by ratio."""
    rows = (len(share), *(1,) * (pull.dim() - 2))
    shared = problem.shared.view(*rows, -1)
    least = pull.clamp_min(0.0)
    among = torch.where(shared, least, 0.0)
    total, whole = (share * problem.strength).view(*rows), _sum(among)
    ratio = torch.where(whole > 0, total / torch.where(whole > 0, whole, 1.0), 0.0)
    return torch.where(shared, among * ratio[..., None], least.minimum(problem.most.view(*rows, -1)))


def _affordable(problem: Problem, pull: Tensor) -> Tensor:
    """The largest gamma in 0..1 (R,) whose p, floors kept, costs at most the limit, which that of 1 does not."""
    low, high = torch.zeros_like(problem.limit), torch.ones_like(problem.limit)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        pull = minimise(problem, middle, _onto(problem, middle, pull), WARM_STEPS)
        below = _kl(problem, problem.tilted(pull, middle)) <= problem.limit
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def _scale(problem: Problem, tilt: Tensor) -> Tensor:
    """The largest factor in 0..1 (R,) that brings a tilt within the limit; see ``tilt.limit_tilt``."""
    low, high = torch.zeros_like(problem.limit), torch.ones_like(problem.limit)
    meets = _kl(problem, tilt) <= problem.limit
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        below = _kl(problem, tilt * middle[:, None]) <= problem.limit
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return torch.where(meets, 1.0, low)


def _kl(problem: Problem, tilt: Tensor) -> Tensor:
    p = (problem.reference + tilt).softmax(dim=1)
    base = problem.reference.logsumexp(dim=1)
    return (p * tilt).sum(dim=1) - ((problem.reference + tilt).logsumexp(dim=1) - base)


def _expected(p: Tensor, values: Tensor) -> Tensor:
    """E_p[V]: p (R, K), values (R, F, K) -> (R, F)."""
    return (p[:, None] * values).sum(dim=2)


def _sum(columns: Tensor) -> Tensor:
    """Over the last dimension, one column after the other."""
    found = columns[..., 0]
    for m in range(1, columns.shape[-1]):
        found = found + columns[..., m]
    return found


def at(problem: Problem, rows: Tensor) -> Problem:
    """The problem of some of the rows: (N,) int64."""
    fields = {name: getattr(problem, name)[rows] for name in Problem.__slots__}
    return replace(problem, **fields)
