from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.values.protocol import ValueFunction
from tests.models import (
    HIDDEN,
    VOCAB,
    WIDTH,
    byte_tokenizer,
    head_network,
    objective,
    tiny_config,
    tiny_model,
    tiny_policy,
)
from tests.value_models.configs import value_config
from value_models.folders import load_value, resolve
from value_models.kinds.head import HeadValue, save_head
from value_models.kinds.lm import LmValue, save_lm


def policy() -> Policy:
    return tiny_policy("llama")


def lm_parts() -> tuple[Any, nn.Linear]:
    torch.manual_seed(5)
    return AutoModel.from_config(tiny_config("qwen2")).eval(), nn.Linear(HIDDEN, 2)


@pytest.fixture
def head(tmp_path: Path) -> Path:
    save_head(tmp_path / "heads", value_config(policy(), "a", "b"), head_network(2, 1))
    return tmp_path / "heads"


@pytest.fixture
def lm(tmp_path: Path) -> Path:
    architecture = tiny_config("qwen2").to_diff_dict()
    save_lm(tmp_path / "lm", value_config(policy(), "c", "d", kind="lm", architecture=architecture), *lm_parts())
    return tmp_path / "lm"


def answers(value: ValueFunction, *names: str) -> list[int]:
    engine = Engine(policy(), [value], EngineConfig(block_size=5))
    guidance = Guidance(dict(zip(names, (2.0, -2.0), strict=True)), beta=2.0, top_k=7)
    ((answer,),) = generate(engine, [[3, 5, 7]], SamplingParams(seed=1, max_tokens=11), guidance)
    return answer.token_ids


def test_a_head_comes_back_as_it_was(head: Path) -> None:
    loaded = load_value(head, policy())
    assert isinstance(loaded, HeadValue)
    original = HeadValue("x", [objective("a"), objective("b")], head_network(2, 1), policy().readout.weight)
    assert answers(loaded, "a", "b") == answers(original, "a", "b")


def test_an_lm_comes_back_as_it_was(lm: Path) -> None:
    loaded = load_value(lm, policy())
    assert isinstance(loaded, LmValue)
    original = LmValue("x", [objective("c"), objective("d")], *lm_parts())
    assert answers(loaded, "c", "d") == answers(original, "c", "d")


def test_clients_learn_what_the_folder_says(head: Path) -> None:
    first, second = load_value(head, policy()).spec.objectives
    assert (first.name, second.name) == ("a", "b")
    assert (first.description, first.kind, first.value) == ("about a", "head", "heads")
    assert (first.reward_mean, first.reward_std, first.recommended_beta) == (0.25, 1.5, 2.0)
    assert first.weight_range == (-3, 5)


Damage = Callable[[Path], None]


def tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Damage:
    def damage(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(found, folder / "model.safetensors")

    return damage


def config(change: Callable[[Any], None]) -> Damage:
    def damage(folder: Path) -> None:
        data = json.loads((folder / "config.json").read_text())
        change(data)
        (folder / "config.json").write_text(json.dumps(data))

    return damage


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])


def spoil(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"pickle")


SHARED: list[tuple[Damage, str]] = [
    (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
    (truncate, "model.safetensors: .*incomplete"),
    (spoil, "model.safetensors: "),
    (lambda folder: (folder / "config.json").unlink(), "config.json"),
    (
        config(lambda data: data.update(kind="tail")),
        "config.json: kind='tail': must be one of head, conditioned_head, lm, q_lm, moments, implicit, policy",
    ),
    (config(lambda data: data["policy"].update(vocab_size=67)), r"differs .* in vocab_size \(value: 67, policy: 61\)"),
    (config(lambda data: data["policy"].update(tokenizer_hash="x")), "differs .* in tokenizer_hash"),
    (config(lambda data: data["objectives"].pop()), "size mismatch|shape"),
    (config(lambda data: data["architecture"].clear()), "architecture"),
]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *SHARED,
        (tensors(lambda t: t.pop("token_out")), "token_out"),
        (tensors(lambda t: t.update(extra=torch.zeros(1))), "extra"),
        (tensors(lambda t: t.update(token_out=torch.zeros(2, WIDTH, 1))), "token_out"),
        (tensors(lambda t: t["token_out"].fill_(torch.nan)), "token_out"),
        (config(lambda data: data["architecture"].update(depth=3)), "depth"),
        (config(lambda data: data["architecture"].update(width="3")), "architecture"),
        (config(lambda data: data["policy"].update(fingerprint="x")), "differs .* in fingerprint"),
        (config(lambda data: data["policy"].update(hidden_size=29)), "differs .* in hidden_size"),
    ],
)
def test_a_damaged_head_is_a_load_error_that_names_the_culprit(head: Path, damage: Damage, message: str) -> None:
    damage(head)
    with pytest.raises(LoadError, match=message) as caught:
        load_value(head, policy())
    assert str(head) in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *SHARED,
        (tensors(lambda t: t.pop("readout.bias")), "bias"),
        (tensors(lambda t: t.pop("backbone.norm.weight")), "norm.weight"),
        (tensors(lambda t: t.update({"other.weight": torch.zeros(1)})), "other.weight"),
        (tensors(lambda t: t.update({"readout.weight": torch.zeros(2, 29)})), "size mismatch|shape"),
        (tensors(lambda t: t["backbone.norm.weight"].fill_(torch.inf)), "backbone.norm.weight"),
        (config(lambda data: data["architecture"].pop("model_type")), "model_type"),
        (config(lambda data: data["architecture"].update(model_type="no_such")), "no_such"),
        (config(lambda data: data["architecture"].update(model_type="mamba")), "Mamba|mamba|layer_types"),
        (config(lambda data: data["architecture"].update(num_hidden_layers=3)), "num_hidden_layers|layers.2"),
    ],
)
def test_a_damaged_lm_is_a_load_error_that_names_the_culprit(lm: Path, damage: Damage, message: str) -> None:
    damage(lm)
    with pytest.raises(LoadError, match=message) as caught:
        load_value(lm, policy())
    assert str(lm) in str(caught.value)


def test_an_lm_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    """Its config may say that it fits; its embedding is what the tokens index."""
    torch.manual_seed(0)
    small = tiny_config("llama")
    small.vocab_size = VOCAB - 2
    architecture = small.to_diff_dict()
    made = value_config(policy(), "c", kind="lm", architecture=architecture)
    save_lm(tmp_path / "lm", made, AutoModel.from_config(small), nn.Linear(HIDDEN, 1))
    with pytest.raises(LoadError, match=r"lm: .*vocab_size=59.*61"):
        load_value(tmp_path / "lm", policy())


def test_a_value_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    theirs = Policy(tiny_model("llama"), tokenizer, "theirs")
    save_head(tmp_path / "v", value_config(theirs, "a"), head_network(1, 1))
    load_value(tmp_path / "v", theirs)
    other = byte_tokenizer()
    other.add_tokens(["<new>"])
    with pytest.raises(LoadError, match=r"trained for policy 'theirs', which differs from ours in tokenizer_hash"):
        load_value(tmp_path / "v", Policy(tiny_model("llama"), other, "ours"))


def test_a_head_needs_the_very_same_weights_an_lm_does_not(head: Path, lm: Path) -> None:
    other = Policy(tiny_model("llama", seed=9), None, "retrained")
    with pytest.raises(LoadError, match="differs from retrained in fingerprint"):
        load_value(head, other)
    assert isinstance(load_value(lm, other), LmValue)


def test_saved_configs_are_plain(head: Path) -> None:
    assert {path.name for path in head.iterdir()} == {"config.json", "model.safetensors"}
    assert dataclasses.is_dataclass(value_config(policy(), "a"))


@pytest.mark.parametrize("path", ["./nowhere", "/no/where", "~/no-such-folder", "nowhere", "a/b/c"])
def test_no_such_folder(path: str) -> None:
    with pytest.raises(LoadError, match="no such folder"):
        resolve(path)


def test_a_hub_that_does_not_answer_is_a_clear_load_error() -> None:
    with pytest.raises(
        LoadError, match=r"^mavis-tests/absent: not a local folder, and http.* does not answer: .*offline"
    ):
        resolve("mavis-tests/absent")
    with pytest.raises(LoadError, match=r"^bad id!/x: "):
        resolve("bad id!/x")
