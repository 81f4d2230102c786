"""Kind ``moments``: what a ``head`` says of every reward, its mean, and how rewards vary about it together.

    score(s + a; w) = w . mu + phi(w' S w)        mu (M,), S (M, M) of the rewards R of a text that goes on from s + a
    phi(v) = c (sqrt(c^2 + v) - c)                c = ``FARTHEST``

s is the text so far, a a candidate for the next token, w is beta times the row's weights. If the base model finishes
the text, the best tilt for w is log E[exp(w . R) | s + a] (Q#, arXiv 2502.20548, for one reward). Its expansion in w
begins with the mean and half the variance, w . mu + w' S w / 2: a token is worth more where what comes is more open,
because a steered policy will choose among it. So one head serves all weights, without rounds and without the weights as
an input.

The plain half of the variance grows as w^2 for ever, while log E[exp(w . R)] grows no faster than the best outcome. phi
is that half for small v, and c standard deviations for large ones: as if no text were better than c of them above the
mean. Where the moments are exact any c from 2 to 4 is about as good as none or better; where they are learned, with
errors that the square of the weights makes larger, 2 is the best (docs/theory.md).

mu and S = L L' are outputs of one ``HeadNetwork``. It learns by squared error: mu the rewards, mu mu' + S their
products two by two, so S can be no less than 0. The term phi is given to the engine as the negative of the KL still to
come (``ValueSpec.conditioned``), which the tilt subtracts.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from mavis_core.model.policy import Policy
from value_models.kinds.conditioned_head import ConditionedHeadValue
from value_models.kinds.head import HeadSizes, load_with, save_trained
from value_models.kinds.head_network import HeadNetwork
from value_models.kinds.head_trainee import HeadTrainee
from value_models.kinds.kind import Kind, Learning
from value_models.rollouts.packing import Batch

FARTHEST = 2.0
"""Standard deviations above the mean that the best text is taken to be."""


def pairs(objectives: int) -> list[tuple[int, int]]:
    """(i, j) with j <= i of all products of two rewards, in the order of outputs and targets."""
    return [(i, j) for i in range(objectives) for j in range(i + 1)]


def open_outcome(variance: Tensor, farthest: float = FARTHEST) -> Tensor:
    """phi: what outcomes of this variance (nats^2) are worth to a policy that will choose among them, nats."""
    return farthest * ((farthest**2 + variance).sqrt() - farthest)


class MomentsNetwork(nn.Module):
    """Parameters of M objectives.

    Args:
        objectives: M.
        hidden_size, width, rank: as of ``HeadNetwork``.
    """

    i: Tensor
    j: Tensor

    def __init__(self, objectives: int, hidden_size: int, width: int, rank: int) -> None:
        super().__init__()
        self.objectives = objectives
        found = pairs(objectives)
        self.head = HeadNetwork(objectives + len(found), hidden_size, width, rank)
        for column, (i, j) in enumerate(found, objectives):
            if i == j:  # z-units: all rewards vary by 1 before anything is known
                self.head.state_out_bias.data[column, 0, -1] = 1.0
        rows, columns = torch.tensor(found).T
        self.register_buffer("i", rows.contiguous(), persistent=False)
        self.register_buffer("j", columns.contiguous(), persistent=False)

    @property
    def sizes(self) -> dict[str, int]:
        """What it was made with, but for the objectives: ``architecture`` in a value's config."""
        return self.head.sizes

    def read_tokens(self, embedding: Tensor) -> Tensor:
        """Rows of E, scaled to unit RMS: (N, D) -> A (N, M + P, r + 1), P = M (M + 1) / 2."""
        return self.head.read_tokens(embedding)

    def forward(self, hidden: Tensor, tilt_weights: Tensor, table: Tensor) -> Tensor:
        """mu and -phi(w' S w), (G, K, M + 1).

        Args:
            hidden: (G, D).
            tilt_weights: (G, M), w.
            table: (G, K, M + P, r + 1), the candidates' rows of A.
        """
        mean, variance = self.along(hidden, tilt_weights, table)
        return torch.cat((mean, -open_outcome(variance)), dim=2)

    def along(self, hidden: Tensor, tilt_weights: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        """mu, (G, K, M), and w' S w, (G, K, 1); arguments as of ``forward``."""
        found = self.head(hidden, table)
        mean, root = found[:, :, : self.objectives], found[:, :, self.objectives :]
        # w' S w = |L' w|^2, and (L' w)_j = sum over i of L_ij w_i.
        parts = root * tilt_weights[:, self.i][:, None]
        own = torch.zeros_like(mean).index_add(2, self.j, parts)
        return mean, own.square().sum(dim=2, keepdim=True)

    def moments(self, hidden: Tensor, table: Tensor) -> Tensor:
        """mu and E[R_i R_j] of all ``pairs``, (G, K, M + P): what the rewards and their products are compared with."""
        found = self.head(hidden, table)
        mean, root = found[:, :, : self.objectives], found[:, :, self.objectives :]
        lower = root.new_zeros((*root.shape[:2], self.objectives, self.objectives))
        lower[:, :, self.i, self.j] = root
        covariance = (lower @ lower.mT)[:, :, self.i, self.j]
        known = mean.detach()  # the mean learns from the rewards alone
        return torch.cat((mean, known[:, :, self.i] * known[:, :, self.j] + covariance), dim=2)


class MomentsValue(ConditionedHeadValue):
    """A loaded one: served as a conditioned head is, for any weights."""


class MomentsTrainee(HeadTrainee):
    """Predictions (A, M + P): of the rewards, and of their products."""

    def predict(self, states: Tensor, table: Tensor, batch: Batch) -> Tensor:
        found: Tensor = self.network.moments(states, table)  # type: ignore[operator]
        return found


def fresh_moments(policy: Policy, objectives: int, train: HeadSizes, largest: float | None) -> MomentsTrainee:
    network = MomentsNetwork(objectives, policy.readout.weight.shape[1], train.width, train.rank)
    return MomentsTrainee(policy, network)


MOMENTS = Kind(
    name="moments",
    value=MomentsValue,
    load=partial(load_with, MomentsValue, MomentsNetwork),
    reads_policy=True,
    conditioned=True,
    learning=Learning(fresh=fresh_moments, save=save_trained, products=True),
)
