"""How strongly a student of words is to be asked for, that its weight 1 spends what the words themselves spend.

A student that has learned a part of what words say moves the policy the same way, but less far. On held-out places beta
is what makes them equal, for each objective:

    mean over places of KL(pi exp(beta V) || pi)  =  mean over places of KL(pi exp(V_words) || pi)

over the candidates that are taught there, each side normalised. Nothing is sampled. Candidates are drawn evenly from
the likeliest, so that unlikely ones count for more than where texts are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mavis_core.model.policy import Policy
from value_models.rollouts.packing import PackedTree, collate
from value_models.rollouts.reading import states_at

MOST = 4.0
"""Beyond it what a student has not learned is louder than what it has."""
HALVINGS = 20


@dataclass(frozen=True, slots=True)
class Places:
    """Q places with C candidates each.

    Attributes:
        logprobs: (Q, C) of the policy, over the candidates.
        words, student: (Q, C, M) values.
    """

    logprobs: Tensor
    words: Tensor
    student: Tensor

    def spent(self, values: Tensor, beta: Tensor) -> Tensor:
        """Mean KL to the policy of its tilt by beta (M,) times values (Q, C, M): (M,) nats."""
        base = self.logprobs[:, :, None].expand_as(values)
        tilted = (base + beta * values).log_softmax(dim=1)
        return (tilted.exp() * (tilted - base)).sum(dim=1).mean(dim=0)


def told_betas(places: Places) -> list[float]:
    """(M,) of each objective; ``MOST`` where the student has learned too little for more."""
    wanted = places.spent(places.words, torch.ones(places.words.shape[2]))
    low, high = torch.zeros_like(wanted), torch.full_like(wanted, MOST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        less = places.spent(places.student, middle) < wanted
        low, high = torch.where(less, middle, low), torch.where(less, high, middle)
    found: list[float] = high.tolist()
    return found


@torch.no_grad()
def read_places(policy: Policy, student: nn.Module, trees: Sequence[PackedTree], columns: slice) -> Places:
    """All places of taught trees at which there are candidates.

    Args:
        student: of a ``Batch`` gives (A, M).
        columns: the objectives in words, of M.
    """
    student.eval()
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for tree in trees:
        at = tree.drawn.at
        beside = tree.node[at] > len(tree.ends.at)  # nodes of responses come first, then a node for each candidate
        previous = tree.previous[at[beside]]
        width = int((previous == previous[0]).sum())
        states = states_at(policy, tree, previous[::width])
        logits = policy.logits(states.to(policy.dtype)).cpu()
        logprobs = logits.gather(1, tree.ids[at[beside]].view(-1, width)).log_softmax(dim=1)
        said = student(collate([tree], True, policy.device)).float().cpu()
        values = (side[beside][:, columns].unflatten(0, (-1, width)) for side in (tree.drawn.targets, said))
        found.append((logprobs, *values))
    return Places(*(torch.cat(parts) for parts in zip(*found, strict=True)))
