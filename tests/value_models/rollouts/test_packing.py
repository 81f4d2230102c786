"""A packed tree gives the states and the gradients of one example per node, for a fraction of the tokens."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from tests.architectures import SPECIAL, special_config
from tests.models import tiny_model, tiny_policy
from tests.value_models.training.forests import forest
from tests.value_models.training.test_targets import REWARDS, ROWS
from value_models.kinds.head_network import HeadNetwork, unit_rms
from value_models.kinds.head_trainee import HeadTrainee
from value_models.kinds.lm import LmTrainee
from value_models.rollouts.forest import Forest
from value_models.rollouts.grow import grow
from value_models.rollouts.packing import PackedTree, collate, pack
from value_models.rollouts.shape import Shape
from value_models.training.targets import examples

CPU = torch.device("cpu")
M = 3


@cache
def trees() -> list[Forest]:
    """Trees of a tiny model, of unequal size, as the paper shapes them."""
    engine = Engine(tiny_policy("llama"), [], EngineConfig(max_num_seqs=64))
    prompts = [(0, [5, 6, 7, 8, 9, 10, 11, 12]), (1, [4] * 5)]
    found = grow(engine, prompts, Shape(max_tokens=40), Guidance(), 40, 1)
    return [found.tree(root) for root in found.roots.tolist()]


@cache
def packed() -> list[PackedTree]:
    rng = np.random.default_rng(0)
    found = []
    for i, tree in enumerate(trees()):
        scores = rng.normal(size=(len(tree.leaves), M))
        found.append(pack(i, tree, examples(tree, scores, False), examples(tree, scores, True)))
    return found


@cache
def one_by_one() -> list[tuple[Tensor, Tensor]]:
    """(prompt and path to the end of the node, target) of every node, one by one."""
    found = []
    for tree, whole in zip(trees(), packed(), strict=True):
        for node in range(1, len(tree)):
            text = torch.tensor(tree.own_tokens(0) + tree.response(node))
            found.append((text, whole.ends.targets[node - 1]))
    return found


def gradients(module: nn.Module) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return found


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=1e-5 * float(gradient.abs().max()) + 1e-7)


def test_layout_by_hand() -> None:
    tree = forest(ROWS)
    found = pack(7, tree, examples(tree, REWARDS, False), examples(tree, REWARDS, True))
    assert found.positions.tolist() == [0, 1, 2, 3, 4, 4, 5, 6, 2, 3, 4, 3, 3, 2]
    assert found.previous.tolist() == [-1, 0, 1, 2, 3, 3, 5, 6, 1, 8, 9, 8, 8, 1]
    assert found.ends.at.tolist() == [3, 4, 7, 8, 10, 11, 12, 13]
    assert found.drawn.at.tolist() == [*range(2, 14), 8]
    mask = collate([found], True, CPU).mask()[0, 0]
    for token in range(14):
        path, at = [], token
        while at >= 0:
            path.append(at)
            at = int(found.previous[at])
        assert mask[token].nonzero()[:, 0].tolist() == sorted(path)


@pytest.mark.parametrize("architecture", ["mistral", "gemma3"])
def test_sliding_windows_reach_back_along_the_path(architecture: str) -> None:
    """Texts of up to eight tokens, windows of three: in every layer, and in some of them."""
    config = special_config(architecture)
    config.sliding_window = 3
    torch.manual_seed(0)
    policy = Policy(SPECIAL[architecture][1](config).eval(), None, architecture)
    tree = forest(ROWS)
    batch = collate([pack(7, tree, examples(tree, REWARDS, False), examples(tree, REWARDS, True))], False, CPU)
    texts = [torch.tensor(tree.own_tokens(0) + tree.response(node)) for node in range(1, len(tree))]
    with torch.inference_mode():
        states = policy.backbone.base(**batch.inputs(config)).last_hidden_state
        expected = torch.stack([policy.backbone.forward_plain(text)[-1] for text in texts])
    torch.testing.assert_close(states.flatten(0, 1)[batch.asked], expected, rtol=1e-3, atol=1e-3)
    assert max(map(len, texts)) > 6


def test_the_same_gradients_for_at_most_a_third_of_the_tokens_lm() -> None:
    model: Any = tiny_model("llama", 3).base_model
    torch.manual_seed(1)
    trainee = LmTrainee(model.requires_grad_(True), nn.Linear(model.config.hidden_size, M))
    batch = collate(packed(), False, CPU)
    loss = F.mse_loss(trainee(batch), batch.targets)
    loss.backward()
    ours = gradients(trainee)
    texts = one_by_one()
    single = [F.mse_loss(trainee.readout(model(input_ids=x[None]).last_hidden_state[0, -1]), y) for x, y in texts]
    mean = torch.stack(single).mean()
    mean.backward()
    assert loss.item() == pytest.approx(mean.item(), rel=1e-5)
    assert_close(ours, gradients(trainee))
    spent, plain = sum(len(tree.ids) for tree in packed()), sum(len(text) for text, _ in texts)
    assert spent <= plain / 3, (spent, plain)


def test_the_same_predictions_and_gradients_as_one_by_one_head() -> None:
    policy = tiny_policy("llama")
    torch.manual_seed(2)
    network = HeadNetwork(M, policy.readout.weight.shape[1], 11, 5)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)  # untrained, parts are 0 and would keep gradients from others
    trainee = HeadTrainee(policy, network)
    batch = collate(packed(), False, CPU)
    found, again = trainee(batch), trainee(batch)
    F.mse_loss(found, batch.targets).backward()
    ours = gradients(trainee)
    texts = one_by_one()
    table = network.read_tokens(unit_rms(policy.readout.weight))
    alone = torch.stack(
        [network(policy.backbone.forward_plain(x)[-2:-1], table[x[-1]][None, None])[0, 0] for x, _ in texts]
    )
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4)
    F.mse_loss(alone, torch.stack([y for _, y in texts])).backward()
    assert_close(ours, gradients(trainee))
    assert {name.removeprefix("network.") for name in ours} == {name for name, _ in network.named_parameters()}
    assert all(gradient.abs().sum() > 0 for gradient in ours.values())
    assert torch.equal(found, again), "kept states are the computed ones"
    single = torch.cat([trainee(collate([tree], False, CPU)) for tree in packed()])
    torch.testing.assert_close(single, found, rtol=1e-5, atol=1e-6)
    assert {name for name, _ in trainee.named_parameters()} == {f"network.{n}" for n, _ in network.named_parameters()}


def test_every_token_asks_for_all_that_was_drawn() -> None:
    batch = collate(packed(), True, CPU)
    assert len(batch.targets) == len(batch.asked) == sum(tree.sampled + int(tree.tail.sum()) for tree in trees())
    first, second = packed()
    longest = max(len(first.ids), len(second.ids))
    assert batch.asked.tolist() == [*first.drawn.at.tolist(), *(second.drawn.at + longest).tolist()]
    assert torch.equal(batch.targets, torch.cat((first.drawn.targets, second.drawn.targets)))
