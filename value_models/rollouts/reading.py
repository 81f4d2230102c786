"""What a policy finds of a tree's tokens, below the prompt that it grew from or below another one: one forward.

A tree of many responses shares most of its text, and its prompt entirely; read as one, a token costs once what it would
cost in every response that goes through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mavis_core.model.policy import Policy
from value_models.rollouts.packing import PackedTree, TokenTargets, collate

POSITIONS = 512
"""Whose logits are computed at once."""
NONE = TokenTargets(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0))


def below(tree: PackedTree, prompt: Sequence[int]) -> PackedTree:
    """The tree with other token ids for its prompt."""
    own, count = int((tree.node == 0).sum()), len(prompt)
    further = count - own
    return replace(
        tree,
        ids=torch.cat((torch.tensor(list(prompt)), tree.ids[own:])),
        positions=torch.cat((torch.arange(count), tree.positions[own:] + further)),
        node=torch.cat((torch.zeros(count, dtype=torch.int64), tree.node[own:])),
        previous=torch.cat((torch.arange(-1, count - 1), tree.previous[own:] + further)),
        ends=TokenTargets(tree.ends.at + further, tree.ends.targets),
        drawn=TokenTargets(tree.drawn.at + further, tree.drawn.targets),
        states=None,
    )


@torch.no_grad()
def read(policy: Policy, tree: PackedTree) -> Tensor:
    """The policy's last hidden states at all tokens of a tree: (T, D) float32."""
    batch = collate([tree], True, policy.device)
    found: Tensor = policy.backbone.base(**batch.inputs(policy.backbone.config)).last_hidden_state[0]
    return found.float()


def states_before(policy: Policy, tree: PackedTree, every_token: bool = True) -> Tensor:
    """The policy's last hidden state before every token that ``tree.drawn`` asks for (else ``tree.ends``): (E, D)
    float32, read unless they are kept with the tree.

    What stands behind the last of them, as the candidates do that a student is taught, is not read.
    """
    return states_at(policy, tree, tree.previous[(tree.drawn if every_token else tree.ends).at])


def states_at(policy: Policy, tree: PackedTree, places: Tensor) -> Tensor:
    """The policy's last hidden states at tokens ``places`` (Q,): (Q, D) float32."""
    states = read(policy, first(tree, int(places.max()) + 1)) if tree.states is None else tree.states
    return states[places.to(states.device)].to(policy.device)


def first(tree: PackedTree, count: int) -> PackedTree:
    """Its first tokens, of which none is asked for."""
    cut = {name: getattr(tree, name)[:count] for name in ("ids", "positions", "node", "previous")}
    return replace(tree, **cut, ends=NONE, drawn=NONE)


@torch.no_grad()
def asked_logprobs(policy: Policy, tree: PackedTree, every_token: bool = True) -> Tensor:
    """log pi of every token that ``tree.drawn`` asks for (else ``tree.ends``) after the text before it: (E,) float32,
    nats, over the whole vocabulary, on the host.

    As ``logprobs_after`` of ``states_before``; but candidates beside each other share the logits of their place.
    """
    asked = (tree.drawn if every_token else tree.ends).at
    places, place = tree.previous[asked].unique(return_inverse=True)
    states, tokens = states_at(policy, tree, places), tree.ids[asked]
    found = torch.zeros(len(asked))
    for start in range(0, len(places), POSITIONS):
        logprobs = policy.logits(states[start : start + POSITIONS].to(policy.dtype)).log_softmax(dim=1)
        own = (place >= start) & (place < start + POSITIONS)
        found[own] = logprobs[(place[own] - start).to(logprobs.device), tokens[own].to(logprobs.device)].cpu()
    return found


def logprobs_after(policy: Policy, hidden: Tensor, tokens: Tensor) -> Tensor:
    """log pi of tokens (E,) after hidden states (E, D): (E,) float32, without (E, V) in memory."""
    parts = []
    for start in range(0, len(tokens), POSITIONS):
        own = slice(start, start + POSITIONS)
        logits = policy.logits(hidden[own].to(policy.dtype))
        parts.append(logits.gather(1, tokens[own, None])[:, 0] - logits.logsumexp(dim=1))
    return torch.cat(parts)
