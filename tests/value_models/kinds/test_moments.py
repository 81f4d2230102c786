"""Mean and covariance of all rewards: the equation, what is learned, and rows of any weights in one batch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from mavis_core.values.protocol import ValueFunction
from tests.models import HIDDEN, RANK, WIDTH, head_value, request, tiny_policy
from tests.value_models.configs import value_config
from value_models.folders import load_value
from value_models.kinds.head import save_head
from value_models.kinds.head_network import unit_rms
from value_models.kinds.moments import FARTHEST, MomentsNetwork, MomentsValue, open_outcome, pairs
from value_models.training.targets import with_products


def network(objectives: int = 2) -> MomentsNetwork:
    torch.manual_seed(4)
    made = MomentsNetwork(objectives, HIDDEN, WIDTH, RANK)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.3)
    return made


@pytest.fixture
def value(tmp_path: Path) -> MomentsValue:
    policy = tiny_policy("llama")
    save_head(tmp_path / "both", value_config(policy, "a", "b", kind="moments"), network())
    found = load_value(tmp_path / "both", policy)
    assert isinstance(found, MomentsValue)
    return found


@torch.inference_mode()
def test_the_equation_in_plain_numbers() -> None:
    made, hidden, w = network(3), torch.randn(5, HIDDEN), torch.randn(5, 3)
    table = made.read_tokens(unit_rms(tiny_policy("llama").readout.weight))[torch.randint(0, 61, (5, 7))]
    raw, found, learned = made.head(hidden, table), made(hidden, w, table), made.moments(hidden, table)
    assert found.shape == (5, 7, 4) and learned.shape == (5, 7, 3 + 6)
    for g, k in [(0, 0), (2, 6), (4, 3)]:
        mean = raw[g, k, :3]
        lower = torch.zeros(3, 3)
        for column, (i, j) in enumerate([(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)], 3):
            lower[i, j] = raw[g, k, column]
        covariance = lower @ lower.T
        variance = float(w[g] @ covariance @ w[g])
        assert found[g, k, :3].tolist() == pytest.approx(mean.tolist(), abs=1e-5)
        assert float(found[g, k, 3]) == pytest.approx(
            -FARTHEST * ((FARTHEST**2 + variance) ** 0.5 - FARTHEST), abs=1e-4
        )
        products = [float(mean[i] * mean[j] + covariance[i, j]) for i, j in pairs(3)]
        assert learned[g, k].tolist() == pytest.approx([*mean.tolist(), *products], abs=1e-4)


def test_openness_is_half_the_variance_and_at_most_three_deviations() -> None:
    small, large = torch.tensor(1e-2), torch.tensor(1e8)
    assert float(open_outcome(small)) == pytest.approx(0.5e-2, rel=1e-3)
    assert float(open_outcome(large)) == pytest.approx(FARTHEST * 1e4, rel=1e-3)


def test_learned_from_draws_it_is_their_mean_and_covariance() -> None:
    """One state, one token, correlated rewards: squared errors alone find both, from a start at variance 1."""
    torch.manual_seed(0)
    made = MomentsNetwork(2, HIDDEN, WIDTH, RANK)
    root = torch.tensor([[0.5, 0.0], [-0.6, 0.3]])
    rewards = torch.randn(4000, 2) @ root.T + torch.tensor([0.7, -0.2])
    rewards = (rewards - rewards.mean(dim=0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(rewards.T))).T
    rewards = rewards @ root.T + torch.tensor([0.7, -0.2])
    targets = torch.from_numpy(with_products(rewards.double().numpy())).float().mean(dim=0)
    hidden, embedding = torch.ones(1, HIDDEN), torch.ones(1, HIDDEN)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.02)
    for _ in range(300):
        found = made.moments(hidden, made.read_tokens(embedding)[:, None])[0, 0]
        loss = (found - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mean, covariance = torch.tensor([0.7, -0.2]), root @ root.T
    for w in (torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]), torch.tensor([-1.0, 2.0])):
        with torch.inference_mode():
            out = made(hidden, w[None], made.read_tokens(embedding)[:, None])[0, 0]
        tilt = float(out[:2] @ w - out[2])
        assert tilt == pytest.approx(float(w @ mean + open_outcome(w @ covariance @ w)), abs=0.02)


def test_products_stand_behind_the_rewards() -> None:
    found = with_products(np.array([[2.0, 3.0], [-1.0, 0.5]]))
    assert found.tolist() == [[2, 3, 4, 6, 9], [-1, 0.5, 1, -0.5, 0.25]]


def test_batched_equals_the_reference_beside_other_values(value: MomentsValue) -> None:
    """Rows of any weights, with another value's objective in one request too."""
    policy = tiny_policy("llama")
    values: list[ValueFunction] = [head_value(policy, "c"), value]
    engine = Engine(policy, values, EngineConfig())
    weights = [{"a": 0.5, "b": 2.0}, {"a": -1.0}, {"a": 5.0, "b": -3.0}, {"b": 1.0, "c": -1.0}, {"c": 2.0}, {}]
    asked = [Guidance(each, 1.5, 11) for each in weights]
    prompts = [[5, 6, 7 + i] for i in range(len(asked))]
    samplings = [SamplingParams(max_tokens=6, seed=i) for i in range(len(asked))]
    found = generate(engine, prompts, samplings, asked)
    for (choice,), prompt, sampling, steer in zip(found, prompts, samplings, asked, strict=True):
        expected = reference_generate(policy, values, prompt, sampling, steer, steer.beta or 0.0)
        assert choice.token_ids == expected.tokens
        if choice.guidance is not None:
            assert choice.guidance.steering_nats == pytest.approx(sum(expected.steering), abs=1e-3)


def test_its_objectives_have_no_range_but_no_normalisation_either(value: MomentsValue) -> None:
    engine = Engine(tiny_policy("llama"), [value], EngineConfig())
    assert [(o.kind, o.conditioned, o.pull_range) for o in engine.info.objectives] == [("moments", True, None)] * 2
    wanted = dataclasses.replace(
        request("r", [5, 6], SamplingParams()), guidance=Guidance({"a": 1.0}, normalise="minmax")
    )
    with pytest.raises(InvalidRequestError, match=r"guidance.normalise='minmax': must be 'none' with a"):
        engine.add(wanted)
