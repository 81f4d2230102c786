"""Regression targets of trees, as pure functions of their arrays: means over sampled texts, nothing bootstrapped.

With R the reward of a finished text, KL_t the steering KL of step t (nats) and zeta the price of a nat, the target at
the end of node n is

    future   Y(n) = mean over children c of [Y(c) - zeta * sum of KL_t over c],    Y(leaf) = R
    path     the same with kl_t = log p(a_t) - log ref(a_t) for KL_t, less zeta * sum of kl_t from the prompt to n

``future`` is what maximising E[R] - zeta KL(p || ref) needs: what is paid already cannot be changed. ``path`` is what
the papers' public code computes; at beta = 1 / zeta its iterations oscillate. It is here to be compared with.

KL_t is computed exactly, between the tilted policy and the base model over the same k candidates. On average it is kl_t
without what leaving out all other tokens costs (truncation), and it has far less noise. Truncation must stay out: every
policy pays it with every token, about evenly, so a price on it is a penalty on length.

Values that take the weights as an input (``with_kl_to_go``) learn reward and price apart: R without penalty, and as one
more column the KL still to come, in nats,

    W(n) = mean over children c of [W(c) + sum of KL_t over c],    W(leaf) = 0

Values that learn how rewards vary (``with_products``) take the products of two rewards of a text for further rewards.

Means are taken over children, level by level, and not over all leaves at once: a branch that ended early has one leaf
where its sibling has many, so an equal share for every leaf would give long texts more than their probability. A child
whose text was cut so that the tree branches there counts in its parent's mean as it was drawn, with the rest of its
text: it was chosen by how it ended. Its own target is the mean of its fresh children only.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from value_models.kinds.moments import pairs
from value_models.rollouts.forest import Forest

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
KlTarget = Literal["future", "path"]


def token_kl(forest: Forest, kl: KlTarget = "future") -> Array:
    """What every token is priced at: (T,) nats; 0 for prompts."""
    if kl == "future":
        return forest.steering.astype(np.float64)
    return forest.policy_logprobs.astype(np.float64) - forest.base_logprobs


def segment_sums(forest: Forest, per_token: Array) -> Array:
    """Sum over each node's tokens: (T,) -> (N,)."""
    ends = np.concatenate(([0.0], np.cumsum(per_token)))
    return np.asarray(ends[forest.start + forest.length] - ends[forest.start])


def future_targets(forest: Forest, rewards: Array, zeta: float = 0.0, kl: KlTarget = "future") -> Array:
    """Y at the end of every node, roots included (a prompt's own value).

    Args:
        rewards: (L, M) of the leaves, in their order, in the units that ``zeta`` prices.
        zeta: reward per nat, at least 0.
        kl: which nats.

    Returns:
        (N, M).
    """
    return _means(forest, rewards, -zeta * segment_sums(forest, token_kl(forest, kl))[:, None])


def with_products(rewards: Array) -> Array:
    """Rewards (L, M) and behind them their products (``pairs``), (L, M + M (M + 1) / 2)."""
    rows, columns = np.array(pairs(rewards.shape[1])).T
    return np.hstack((rewards, rewards[:, rows] * rewards[:, columns]))


def future_kl(forest: Forest) -> Array:
    """W at the end of every node: (N, 1) nats, at least 0."""
    return _means(forest, np.zeros((len(forest.leaves), 1)), segment_sums(forest, token_kl(forest))[:, None])


def _means(forest: Forest, final: Array, earned: Array) -> Array:
    """Y(n) = mean over children c of [Y(c) + earned(c)], Y(leaf) = final: (L, C), (N, 1) -> (N, C)."""
    found = np.zeros((len(forest), final.shape[1]))
    found[forest.leaves] = final
    counted = (forest.parent >= 0) & (forest.tail == 0)
    children = np.bincount(forest.parent[counted], minlength=len(forest))[:, None]
    onward = _goes_on(forest)
    earned = earned + np.where(onward != np.arange(len(forest)), earned[onward, 0], 0.0)[:, None]
    for layer in range(int(forest.layer.max()), -1, -1):
        own = np.flatnonzero((forest.layer == layer) & counted)
        parents = forest.parent[own]
        np.add.at(found, parents, (found[onward[own]] + earned[own]) / children[parents])
    return found


def path_targets(forest: Forest, rewards: Array, zeta: float) -> Array:
    """The papers' variant: the price of the whole path, node and past included; (N, M)."""
    paid = forest.path_sums(token_kl(forest, "path"))
    return future_targets(forest, rewards, zeta, "path") - zeta * paid[:, None]


def node_targets(forest: Forest, rewards: Array, zeta: float = 0.0, kl: KlTarget = "future") -> Array:
    """The target at the end of every node, (N, M)."""
    return path_targets(forest, rewards, zeta) if kl == "path" else future_targets(forest, rewards, zeta)


def all_targets(forest: Forest, rewards: Array, zeta: float, kl: KlTarget, with_kl_to_go: bool) -> Array:
    """``node_targets`` and, if ``with_kl_to_go``, W: (N, M) or (N, M + 1)."""
    found = node_targets(forest, rewards, zeta, kl)
    return np.hstack((found, future_kl(forest))) if with_kl_to_go else found


def token_targets(forest: Forest, rewards: Array, zeta: float = 0.0, kl: KlTarget = "future") -> Array:
    """The target of V(s + a) at every token a, (T, M): that of its node's end, less what is paid in between.

    Tokens of a cut node, its last one included, go on as they were drawn, into the tail: cutting chooses among
    responses by how they ended, and leaving these outcomes out, or putting fresh ones in their place, would shift the
    mean of what follows a token. (The fresh children's mean is right at the cut node's end, but as one more example.)
    Prompt tokens get their root's; no value is trained on them.
    """
    onward = _goes_on(forest)
    found = node_targets(forest, rewards, zeta, kl)[onward]
    if kl == "path":
        return np.asarray(np.repeat(found, forest.length, axis=0))
    return _onward(forest, onward, found, -zeta * token_kl(forest))


def token_kl_to_go(forest: Forest) -> Array:
    """W at every token: (T, 1) nats."""
    onward = _goes_on(forest)
    return _onward(forest, onward, future_kl(forest)[onward], token_kl(forest))


def _goes_on(forest: Forest) -> Ints:
    """The node in which each node's own text was finished or cut: itself, or its tail; (N,)."""
    onward = np.arange(len(forest))
    onward[forest.parent[forest.tail == 1]] = np.flatnonzero(forest.tail)
    return onward


def _onward(forest: Forest, onward: Ints, ends: Array, earned: Array) -> Array:
    """Targets of tokens from those where their text goes on to, by node: (N,), (N, C), earned per token (T,) -> (T, C).

    A tail's tokens stand right behind those of the node it was cut from.
    """
    sums, last = np.cumsum(earned), forest.start + forest.length - 1
    between = np.repeat(sums[last[onward]], forest.length) - sums
    return np.asarray(np.repeat(ends, forest.length, axis=0) + between[:, None])


def examples(
    forest: Forest,
    rewards: Array,
    every_token: bool,
    zeta: float = 0.0,
    kl: KlTarget = "future",
    with_kl_to_go: bool = False,
) -> tuple[NDArray[np.int64], Array]:
    """What is regressed on: indices of tokens (E,), some of them twice, and their targets (E, M).

    Args:
        every_token: all that were drawn, and the ends of cut nodes once more with their fresh children's mean; else the
            ends of all nodes.
        with_kl_to_go: W as one more column.
    """
    ends, nodes = forest.start + forest.length - 1, all_targets(forest, rewards, zeta, kl, with_kl_to_go)
    if not every_token:
        own = np.flatnonzero(forest.parent >= 0)
        return ends[own], nodes[own]
    drawn = np.flatnonzero(np.repeat(forest.parent >= 0, forest.length))
    cut = forest.parent[forest.tail == 1]
    tokens = token_targets(forest, rewards, zeta, kl)
    if with_kl_to_go:
        tokens = np.hstack((tokens, token_kl_to_go(forest)))
    return np.concatenate((drawn, ends[cut])), np.concatenate((tokens[drawn], nodes[cut]))


def sample_shares(forest: Forest) -> Array:
    """How much each leaf counts as a sample of the policy, (L,): the chance that a walk down from its prompt, choosing
    among siblings evenly, ends there. A response that was cut counts as what it was: the walk follows its tail.
    """
    chance = np.zeros(len(forest))
    chance[forest.roots] = 1
    has_tail = np.zeros(len(forest), dtype=bool)
    has_tail[forest.parent[forest.tail == 1]] = True
    counted = (forest.parent >= 0) & ((forest.tail == 1) | ~has_tail[forest.parent])
    children = np.bincount(forest.parent[counted], minlength=len(forest))
    for layer in range(int(forest.layer.max()) + 1):
        own = np.flatnonzero((forest.layer == layer) & counted)
        chance[own] = chance[forest.parent[own]] / children[forest.parent[own]]
    return np.asarray(chance[forest.leaves])
