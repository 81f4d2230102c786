"""Values that ship for models of others: found by what the model is, whatever it is called."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mavis_core.api.config import EngineConfig
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.policy import Policy
from tests.models import head_network
from tests.value_models.configs import value_config
from value_models import loading
from value_models.kinds.head import save_head
from value_models.loading import build_engine
from value_models.offered import offered


@pytest.fixture
def shipped(tmp_path: Path, model: Path) -> Path:
    """Values for ``model`` in a folder of them."""
    policy = Policy.load(str(model), torch.device("cpu"), torch.float32)
    for seed, name in enumerate(("kind", "brief")):
        save_head(tmp_path / "shipped" / name, value_config(policy, name), head_network(1, seed))
    return tmp_path / "shipped"


def other_weights(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    save_file({name: tensor * 1.1 for name, tensor in tensors.items()}, model / "model.safetensors", {"format": "pt"})


def loaded(model: Path) -> Policy:
    return Policy.load(str(model), torch.device("cpu"), torch.float32)


def test_values_are_offered_to_their_policy_alone(shipped: Path, model: Path) -> None:
    assert [folder.name for folder in offered(loaded(model), places=[shipped])] == ["brief", "kind"]
    assert [folder.name for folder in offered(loaded(model), {"kind"}, [shipped])] == ["brief"]
    other_weights(model)
    assert offered(loaded(model), places=[shipped]) == []


@pytest.mark.parametrize(
    ("values", "taken", "served"),
    [([], (), ["brief", "kind"]), ([], ("kind",), ["brief"]), (["none"], (), []), (["{}#kind"], (), ["kind"])],
)
def test_a_server_offers_them_unless_told_otherwise(
    shipped: Path, model: Path, monkeypatch: pytest.MonkeyPatch, values: list[str], taken: tuple[str, ...],
    served: list[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(loading, "offered", partial(offered, places=[shipped]))
    seen: list[list[str]] = []

    def check(objectives: object) -> None:
        assert isinstance(objectives, list) and all(isinstance(each, ObjectiveInfo) for each in objectives)
        seen.append([each.name for each in objectives])

    named = [each.format(shipped) for each in values]
    engine = build_engine(str(model), named, EngineConfig(), check=check, taken=taken)
    assert [each.name for each in engine.info.objectives] == served
    assert seen == [served], "looked at once, before their tensors were read"
