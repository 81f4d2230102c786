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
    )


@torch.no_grad()
def states_before(policy: Policy, tree: PackedTree, every_token: bool = True) -> Tensor:
    """The policy's last hidden state before every token that ``tree.drawn`` asks for (else ``tree.ends``): (E, D).

    What stands behind the last of them, as the candidates do that a student is taught, is not read.
    """
    before = tree.previous[(tree.drawn if every_token else tree.ends).at]
    end = int(before.max()) + 1
    read = replace(tree, ids=tree.ids[:end], positions=tree.positions[:end], node=tree.node[:end], ends=NONE, drawn=NONE)
    batch = collate([replace(read, previous=tree.previous[:end])], every_token, policy.device)
    out = policy.backbone.base(**batch.inputs(policy.backbone.config))
    found: Tensor = out.last_hidden_state[0, before.to(policy.device)]
    return found


@torch.no_grad()
def asked_logprobs(policy: Policy, tree: PackedTree, every_token: bool = True) -> Tensor:
    """log pi of every token that ``tree.drawn`` asks for (else ``tree.ends``) after the text before it: (E,) float32,
    nats, over the whole vocabulary, on the host.
    """
    tokens = tree.ids[(tree.drawn if every_token else tree.ends).at].to(policy.device)
    return logprobs_after(policy, states_before(policy, tree, every_token), tokens).cpu()


def logprobs_after(policy: Policy, hidden: Tensor, tokens: Tensor) -> Tensor:
    """log pi of tokens (E,) after hidden states (E, D): (E,) float32, without (E, V) in memory."""
    parts = []
    for start in range(0, len(tokens), POSITIONS):
        own = slice(start, start + POSITIONS)
        logits = policy.logits(hidden[own])
        parts.append(logits.gather(1, tokens[own, None])[:, 0] - logits.logsumexp(dim=1))
    return torch.cat(parts)
