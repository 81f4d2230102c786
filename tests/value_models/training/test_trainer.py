"""The training loop on an MDP's trees: a tiny LM learns what a table would, and nothing from shuffled rewards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from mavis_core.api.errors import RunError
from tests.mavis_core.test_exactness import HORIZON, PROMPT, VOCAB, histories
from tests.value_models.training.forests import mdp_forest
from tests.value_models.training.mdp import Values, base, best_at_kl, evaluate, outcome, reward, tilted
from value_models.kinds.lm import LmTrainee
from value_models.rollouts.shape import Shape
from value_models.training.data import TargetSettings, TrainingData, labelled
from value_models.training.train_config import TrainConfig
from value_models.training.trainer import TrainingState, rate, train

CONFIG = TrainConfig(kind="lm", epochs=14, learning_rate=4e-3, batch_trees=8, weight_decay=0.0, patience=5)
CPU = torch.device("cpu")


def data(shuffled: bool = False, trees: int = 260, unit: float = 1.0) -> TrainingData:
    forest = mdp_forest(trees, Shape(layers=3, max_tokens=HORIZON))
    single = [forest.tree(root) for root in forest.roots.tolist()]
    scores = [np.array([[unit * reward(tuple(t.response(leaf)))] for leaf in t.leaves.tolist()]) for t in single]
    if shuffled:
        pool = np.random.default_rng(0).permutation(np.concatenate(scores))
        scores = np.split(pool, np.cumsum([len(s) for s in scores])[:-1])
    at = trees * 4 // 5
    keys = range(trees)
    first = labelled(single[:at], scores[:at], keys[:at], TargetSettings())
    return TrainingData(first, labelled(single[at:], scores[at:], keys[at:], TargetSettings()))


def trainee() -> LmTrainee:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16,
    )
    return LmTrainee(LlamaModel(config), nn.Linear(48, 1))


@torch.inference_mode()
def predictions(value: LmTrainee) -> Values:
    """Of every text, read plainly: what decoding would see."""
    value.eval()
    found: Values = {}
    for length in range(1, HORIZON + 1):
        texts = [text for text in histories() if len(text) == length]
        ids = torch.tensor([[PROMPT, *text] for text in texts])
        states = value.backbone(input_ids=ids, use_cache=False).last_hidden_state[:, -1]
        found.update(zip(texts, value.readout(states)[:, 0].tolist(), strict=True))
    return found


def share(values: Values) -> float:
    """Gain of reward at beta 2, as a share of what is possible for the same KL."""
    earned, nats = outcome(tilted(values, 2.0))
    start = outcome(base)[0]
    return (earned - start) / (best_at_kl(nats) - start)


def test_a_trained_lm_earns_most_of_what_the_exact_values_do(tmp_path: Path) -> None:
    value = trainee()
    state = train(value, data(), ["mix"], CONFIG, 0, tmp_path, CPU, progress=False)
    measured = state.history[state.best - 1]["held_out"]["mix"]
    assert measured["mse"] < 0.75 * measured["mse_constant"]
    assert measured["mse"] < measured["mse_prompt_mean"]
    assert measured["ranking"] > 0.65
    assert share(predictions(value)) > 0.8 * share(evaluate(base))


def test_shuffled_rewards_teach_nothing(tmp_path: Path) -> None:
    config = TrainConfig(kind="lm", epochs=3, learning_rate=2e-3, patience=3)
    state = train(trainee(), data(shuffled=True, trees=100), ["mix"], config, 0, tmp_path, CPU, progress=False)
    measured = state.history[state.best - 1]["held_out"]["mix"]
    assert measured["mse"] > 0.95 * measured["mse_constant"]
    assert abs(measured["ranking"] - 0.5) < 0.06


def test_it_stops_after_the_best_epoch_and_keeps_its_weights(tmp_path: Path) -> None:
    config = TrainConfig(kind="lm", epochs=30, learning_rate=2e-2, patience=2)
    value, few = trainee(), data(trees=20)
    state = train(value, few, ["mix"], config, 0, tmp_path, CPU, progress=False)
    assert state.epoch == state.best + 2 < 30
    errors = [record["held_out"]["mix"]["mse"] for record in state.history]
    assert state.best == np.argmin(errors) + 1
    assert state.lowest == min(errors)
    for name, p in value.named_parameters():
        assert torch.equal(p, state.weights[name])
    again: TrainingState = train(trainee(), few, ["mix"], config, 0, tmp_path, CPU, progress=False)
    assert again.epoch == state.epoch, "a finished run is not trained further"


def test_errors_count_in_the_units_of_their_objective(tmp_path: Path) -> None:
    """Loss and choice of the epoch are the same for a reward in z-units and in units a hundred times as small."""
    config = TrainConfig(kind="lm", epochs=1, learning_rate=1e-9, patience=1)
    found = []
    for unit in (1.0, 100.0):
        value = trainee()
        with torch.no_grad():
            value.readout.weight *= unit
            value.readout.bias *= unit
        made = data(trees=20, unit=unit)
        found.append(train(value, made, ["mix"], config, 0, tmp_path / str(unit), CPU, False, [unit]))
    one, other = found
    assert one.history[0]["train_loss"] == pytest.approx(other.history[0]["train_loss"], rel=1e-4)
    assert one.lowest == pytest.approx(other.lowest, rel=1e-4)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    value = trainee()
    value.readout.weight.data.fill_(torch.inf)
    with pytest.raises(RunError, match=r"train: the loss is .*; lower train\.learning_rate"):
        train(value, data(trees=20), ["mix"], CONFIG, 0, tmp_path, CPU, progress=False)


def test_the_rate_rises_and_falls_linearly() -> None:
    share_of = rate(100, 0.1)
    assert [share_of(step) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert share_of(55) == pytest.approx(0.51)
    assert share_of(100) == pytest.approx(share_of(1000)) == pytest.approx(0.02)
