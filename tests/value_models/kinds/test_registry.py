"""A kind that is a module and a line in the registry is trained, saved, loaded, served, stacked and distilled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mavis_core.api.errors import LoadError, RunError
from tests.models import HIDDEN, head_value, lm_value, tiny_policy
from tests.value_models.configs import value_config
from tests.value_models.kinds.toy import TOY, ToyValue
from tests.value_models.training.test_run import fit, inputs, place, score  # noqa: F401
from value_models.folders import load_value
from value_models.kinds.head import HeadValue
from value_models.kinds.head_network import HeadNetwork
from value_models.kinds.registry import KINDS, stacked
from value_models.loading import FolderLoader, load_policy
from value_models.training.distill import load_teachers
from value_models.training.run import Run
from value_models.training.run_config import load_config
from value_models.training.train_config import TrainConfig
from value_models.value_config import ValueConfig


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line in the registry."""
    monkeypatch.setitem(KINDS, TOY.name, TOY)


@pytest.mark.usefixtures("registered")
def test_a_new_kind_needs_nothing_beside_its_module(inputs: Path, tmp_path: Path) -> None:  # noqa: F811
    path = place(inputs, tmp_path / "it", count=24, train={"kind": "toy", "learning_rate": 0.3, "beta_prompts": 0})
    value = fit(path)
    assert ValueConfig.load(value).kind == "toy"
    down, base, up = (score(inputs, value, weight, 3.0) for weight in (-1.0, 0.0, 1.0))
    assert down < base - 0.03 < base + 0.03 < up
    policy = load_policy(str(inputs / "policy"), Run(load_config(path)).config.engine)
    loaded = load_value(value, policy)
    assert isinstance(loaded, ToyValue)
    assert [o.kind for o in loaded.spec.objectives] == ["toy"]
    assert FolderLoader(policy).stack([loaded]) == [loaded]
    (trainee,), objectives, _ = load_teachers([str(value)], policy)
    assert [o.name for o in objectives] == ["low"]
    assert torch.equal(trainee.table.weight, loaded.table.weight)


@pytest.mark.usefixtures("registered")
def test_messages_name_the_new_kind_too(tmp_path: Path) -> None:
    value_config(tiny_policy("llama"), "a", kind="tail").save(tmp_path / "v")
    with pytest.raises(
        LoadError, match="kind='tail': must be one of head, conditioned_head, lm, q_lm, moments, implicit, policy, toy"
    ):
        load_value(tmp_path / "v", tiny_policy("llama"))
    with pytest.raises(RunError, match=r"'tail': must be one of head, conditioned_head, lm, q_lm, moments, toy"):
        TrainConfig(kind="tail")


def test_only_values_of_equal_shape_are_stacked() -> None:
    policy = tiny_policy("llama")
    wide = HeadValue(
        "wide", head_value(policy, "w").spec.objectives, HeadNetwork(1, HIDDEN, 11, 3), policy.readout.weight
    )
    lm = lm_value("llama", "c")
    found = stacked([head_value(policy, "a"), lm, wide, head_value(policy, "b")])
    assert [[o.name for o in value.spec.objectives] for value in found] == [["a", "b"], ["w"], ["c"]]
    assert found[-1] is lm


@pytest.mark.usefixtures("registered")
def test_a_kind_stacks_its_own_values_and_leaves_the_order_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def stack(values: Sequence[ToyValue]) -> list[ToyValue]:
        return [replaced] if values else []

    monkeypatch.setitem(KINDS, TOY.name, replace(TOY, stack=stack))
    toys = [ToyValue(name, [], torch.nn.Embedding(3, 1)) for name in "xyz"]
    replaced, lms = toys.pop(), [lm_value("llama", name) for name in "cd"]
    assert stacked([lms[0], toys[0], lms[1], toys[1]]) == [replaced, *lms]


@pytest.mark.parametrize("kind", ["implicit", "policy"])
def test_what_is_not_learned_here_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"train.kind='{kind}': must be one of head, conditioned_head, lm"):
        TrainConfig(kind=kind)
    value_config(tiny_policy("llama"), "a", kind=kind).save(tmp_path / "v")
    with pytest.raises(RunError, match=rf"teachers: .*v: kind '{kind}' cannot teach; head, lm, q_lm can"):
        load_teachers([str(tmp_path / "v")], tiny_policy("llama"))


def test_every_kind_has_its_part_of_the_page() -> None:
    page = Path("docs/values.md").read_text(encoding="utf-8")
    assert [name for name in KINDS if f"\n**`{name}`**: " not in page] == []
