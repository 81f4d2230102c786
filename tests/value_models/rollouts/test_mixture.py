"""Weights of trees: where they are drawn from, what is kept of them, and that every tree is steered by its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mavis_core.api.errors import RunError
from tests.value_models.rollouts.test_roll_out import CONFIG, PROMPTS, make
from value_models.rollouts.mixture import ALONE, Mixture
from value_models.rollouts.roll_out import RolloutConfig
from value_models.rollouts.shards import read_shard, shard_path

MIXTURE = Mixture(3.0, ["a", "b"])


def drawn(count: int) -> np.ndarray:
    found = [MIXTURE.draw(5, number) for number in range(count)]
    return np.array([[strength * weights[name] for name in MIXTURE.objectives] for strength, weights in found])


def test_weights_fill_the_box_and_its_axes() -> None:
    w = drawn(4000)
    assert w.min() == 0 and w.max(axis=1).min() > 0 and w.max() <= 3.0
    assert np.mean((w == 0).any(axis=1)) == pytest.approx(ALONE, abs=0.03)
    assert np.quantile(w.max(axis=1), [0.25, 0.5, 0.75]) == pytest.approx([0.75, 1.5, 2.25], abs=0.1), (
        "uniform strength"
    )
    assert np.mean(w[:, 0] > w[:, 1]) == pytest.approx(0.5, abs=0.03)
    assert np.mean((w > 2).all(axis=1)) == pytest.approx(0.75 * (1 / 3 - 2 / 3 * np.log(1.5)), abs=0.01), (
        "its far corner too"
    )


def test_a_tree_of_its_own_weights_is_a_function_of_seed_and_prompt() -> None:
    assert MIXTURE.draw(5, 7) == MIXTURE.draw(5, 7)
    assert MIXTURE.draw(5, 7) != MIXTURE.draw(6, 7) != MIXTURE.draw(5, 8)


def test_shards_keep_the_weights_and_the_kl_of_every_step(tmp_path: Path) -> None:
    config = RolloutConfig(CONFIG.shape, shard_prompts=3, mixture=Mixture(2.0, ["a"]))
    make(tmp_path / "once", config)
    make(tmp_path / "again", config)
    for index in range(-(-len(PROMPTS) // 3)):
        path = shard_path(tmp_path / "once", index)
        assert path.read_bytes() == shard_path(tmp_path / "again", index).read_bytes()
        forest = read_shard(path)
        for root in forest.roots.tolist():
            tree, (strength, weights) = forest.tree(root), config.mixture.draw(5, int(forest.prompt[root]))
            assert tree.tilt_weights == pytest.approx(np.full((len(tree), 1), strength * weights["a"]))
            below = np.repeat(tree.parent >= 0, tree.length)
            assert (tree.steering[~below] == 0).all() and (tree.steering[below] >= -1e-6).all()
            assert tree.steering[below].max() > 0


def test_plain_shards_have_no_weights_and_no_steering(tmp_path: Path) -> None:
    make(tmp_path)
    forest = read_shard(shard_path(tmp_path, 0))
    assert forest.tilt_weights.shape == (len(forest), 0) and not forest.steering.any()
    assert b'"pull"' not in shard_path(tmp_path, 0).read_bytes()[:2000]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"mixture": Mixture(2.0, ["a"]), "beta": 1.0}, "rollouts.mixture: draws weights and beta"),
        ({"mixture": Mixture(2.0, ["a"]), "weights": {"a": 1.0}}, "rollouts.mixture: draws weights and beta"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], told: str) -> None:
    with pytest.raises(RunError, match=told):
        RolloutConfig(**settings)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="must name at least one"):
        Mixture(2.0)
    with pytest.raises(RunError, match=r"rollouts.mixture.beta=65: must be above 0, at most 64"):
        Mixture(65.0, ["a"])
    with pytest.raises(RunError, match="must differ"):
        Mixture(2.0, ["a", "a"])
