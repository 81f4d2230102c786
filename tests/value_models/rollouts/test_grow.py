"""Trees from an engine whose policy is a table, so that lengths, branching and log-probabilities are known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from tests.models import objective
from tests.table import TokenValue, memoryless_policy
from value_models.rollouts.forest import LENGTH, OPEN, STOP, Forest
from value_models.rollouts.grow import grow
from value_models.rollouts.shape import Shape

VOCAB, END = 7, 0
LOGITS = [0.3, 1.0, -0.5, 0.7, 0.0, 1.3, -1.0]
ENDLESS = [-1e4, *LOGITS[1:]]
PROMPTS = [(0, [1, 2]), (1, [3]), (4, [2, 2, 5])]
PLAIN = Guidance()


def engine(logits: list[float], values: bool = False) -> Engine:
    policy: Any = memoryless_policy(logits, longest=64, stop_token_ids=(END,))
    table = torch.tensor([[0.1 * token] for token in range(VOCAB)])
    config = EngineConfig(max_num_seqs=64, max_num_batched_tokens=256, block_size=4)
    return Engine(policy, [TokenValue([objective("a")], table)] if values else [], config)


def equal(a: Forest, b: Forest) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(Forest))


def test_the_papers_tree_when_nothing_ends() -> None:
    forest = grow(engine(ENDLESS), PROMPTS, Shape(max_tokens=40), PLAIN, 40, 3)
    assert forest.prompt[forest.roots].tolist() == [0, 1, 4]
    for root, (_, ids) in zip(forest.roots.tolist(), PROMPTS, strict=True):
        tree = forest.tree(root)
        assert tree.own_tokens(0) == ids
        assert [int((tree.layer == layer).sum()) for layer in range(-1, 4)] == [1, 4, 8, 16, 32]
        # A segment of the last layer but one may use up all that is left.
        assert len(tree) - 1 == 124 - 2 * int(((tree.layer == 3) & (tree.finish == LENGTH)).sum()) > 110
        assert (tree.finish[tree.leaves] == LENGTH).all()
        assert {len(tree.response(leaf)) for leaf in tree.leaves.tolist()} == {40}
        for node in np.flatnonzero(tree.finish == OPEN).tolist():
            assert len(set(tree.length[tree.parent == node].tolist())) == 1, "one draw for all children"
        assert len(set(tree.length[tree.layer == 1].tolist())) > 1, "and another for another node"


def test_nodes_are_depth_first_and_trees_are_whole() -> None:
    forest = grow(engine(LOGITS), PROMPTS, Shape(max_tokens=20), PLAIN, 40, 3)
    assert (forest.parent < np.arange(len(forest))).all()
    trees = [forest.tree(root) for root in forest.roots.tolist()]
    assert equal(Forest.concatenate(trees), forest)
    open_nodes = np.flatnonzero(forest.finish == OPEN)
    assert set(open_nodes.tolist()) == set(forest.parent[forest.parent >= 0].tolist()), "leaves have no children"


def test_a_tree_does_not_depend_on_its_batch_and_repeats_from_its_seed() -> None:
    together = grow(engine(LOGITS), PROMPTS, Shape(max_tokens=20), PLAIN, 40, 3)
    for prompt, root in zip(PROMPTS, together.roots.tolist(), strict=True):
        assert equal(grow(engine(LOGITS), [prompt], Shape(max_tokens=20), PLAIN, 40, 3), together.tree(root))
    other = grow(engine(LOGITS), PROMPTS, Shape(max_tokens=20), PLAIN, 40, 4)
    assert not equal(other, together)


def test_what_ends_in_the_first_layer_is_cut_and_branches_all_the_same() -> None:
    shape = Shape(max_tokens=30)
    prompts = [(i, [1]) for i in range(40)]
    forest = grow(engine(LOGITS), prompts, shape, PLAIN, 40, 5)
    tails = np.flatnonzero(forest.tail)
    assert len(tails) > 10
    for tail in tails.tolist():
        cut = int(forest.parent[tail])
        assert (forest.layer[cut], forest.finish[cut], forest.finish[tail]) == (0, OPEN, STOP)
        assert forest.own_tokens(tail)[-1] == END
        assert END not in forest.own_tokens(cut)
        siblings = np.flatnonzero((forest.parent == cut) & (forest.tail == 0))
        assert len(siblings) == shape.children
    first = np.flatnonzero((forest.layer == 0) & (forest.finish == STOP))
    assert (forest.length[first] == 1).sum() == 0, "the first token of a response is no stop token"
    whole = grow(engine(LOGITS), prompts, dataclasses.replace(shape, split_layers=0), PLAIN, 40, 5)
    assert not whole.tail.any()
    assert ((whole.layer == 0) & (whole.finish == STOP)).sum() == len(tails)
    assert ((whole.layer == 1) & (whole.finish == STOP) & (whole.length == 1)).sum() > 0, "later ones may be"


@pytest.mark.parametrize("k", [VOCAB, 3])
def test_log_probabilities_are_of_the_draw_and_of_the_base_model(k: int) -> None:
    forest = grow(engine(LOGITS), PROMPTS, Shape(max_tokens=12), PLAIN, k, 1)
    logits = torch.tensor(LOGITS)
    banned = logits.clone()
    banned[END] = -torch.inf
    for node in range(len(forest)):
        own = slice(int(forest.start[node]), int(forest.start[node] + forest.length[node]))
        tokens = forest.tokens[own]
        if forest.parent[node] < 0:
            assert not forest.policy_logprobs[own].any()
            continue
        for i, token in enumerate(tokens.tolist()):
            first = forest.layer[node] == 0 and i == 0
            kept = (banned if first else logits).topk(k)
            drawn = kept.values.log_softmax(0)[kept.indices.tolist().index(token)].item()
            assert forest.policy_logprobs[own][i] == pytest.approx(drawn, abs=1e-5)
            assert forest.base_logprobs[own][i] == pytest.approx(logits.log_softmax(0)[token].item(), abs=1e-5)


def test_a_steered_policy_is_rolled_out_with_both_log_probabilities() -> None:
    guidance = Guidance({"a": 1.0}, beta=3.0, top_k=VOCAB)
    forest = grow(engine(LOGITS, values=True), PROMPTS, Shape(max_tokens=12), guidance, VOCAB, 1)
    logits = torch.tensor(LOGITS)
    tilted = (logits + 3.0 * 0.1 * torch.arange(VOCAB)).log_softmax(0)
    later = [int(forest.start[node]) for node in np.flatnonzero(forest.layer > 0)]
    tokens = forest.tokens[later].tolist()
    assert forest.policy_logprobs[later] == pytest.approx(tilted[tokens].numpy(), abs=1e-5)
    assert forest.base_logprobs[later] == pytest.approx(logits.log_softmax(0)[tokens].numpy(), abs=1e-5)
    assert END in tokens, "only the first token of a response is kept from ending it"


def test_flat_rollouts_are_independent_responses() -> None:
    forest = grow(engine(LOGITS), PROMPTS, Shape("flat", samples=5, max_tokens=9), PLAIN, 40, 3)
    assert len(forest) == 3 * 6
    assert len(forest.leaves) == 15
    assert forest.sampled == sum(len(forest.response(leaf)) for leaf in forest.leaves.tolist())
