from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForSequenceClassification, LlamaModel

from mavis_core.api.errors import ConfigError, LoadError
from mavis_core.model.policy import Policy, resolve_device
from tests.models import EOS, byte_tokenizer, tiny_config, tiny_model

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("llama").save_pretrained(tmp_path / "tiny")
    byte_tokenizer().save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_folder_loads_as_it_was_saved(folder: Path) -> None:
    policy = Policy.load(str(folder), CPU, torch.float32)
    expected = tiny_model("llama")(torch.tensor([[3, 5, 7]])).logits[0, -1]
    with torch.inference_mode():
        found = policy.logits(policy.backbone.forward_plain(torch.tensor([3, 5, 7]))[-1:])[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert policy.stop_token_ids == (EOS,)
    assert policy.tokenizer is not None
    assert policy.tokenizer.encode("hi") == [104, 105]


def test_a_slow_tokenizer_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mavis_core.model.policy.AutoTokenizer.from_pretrained", lambda *args, **kwargs: object())
    with pytest.raises(LoadError, match=r"its tokenizer \(object\) is a slow one: a tokenizer\.json is needed"):
        Policy.load(str(folder), CPU, torch.float32)


def test_several_stop_tokens_are_honoured(folder: Path) -> None:
    text = (folder / "generation_config.json").read_text()
    (folder / "generation_config.json").write_text(text.replace('"eos_token_id": 2', '"eos_token_id": [2, 17]'))
    assert Policy.load(str(folder), CPU, torch.float32).stop_token_ids == (EOS, 17)


def test_the_checkpoints_own_sampling_defaults_are_read(folder: Path) -> None:
    assert Policy.load(str(folder), CPU, torch.float32).sampling_defaults == {}
    path = folder / "generation_config.json"
    path.write_text(path.read_text().replace("{", '{"do_sample": true, "top_p": 0.8, "temperature": 0.7, ', 1))
    assert Policy.load(str(folder), CPU, torch.float32).sampling_defaults == {"top_p": 0.8, "temperature": 0.7}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def unlink(path: Path) -> None:
    path.unlink()


def garble(path: Path) -> None:
    path.write_text("{broken")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("config.json", unlink),
        ("config.json", garble),
        ("model.safetensors", unlink),
        ("model.safetensors", truncate),
        ("tokenizer.json", unlink),
        ("tokenizer.json", garble),
    ],
)
def test_a_damaged_folder_is_a_load_error_that_names_it(
    folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(folder / name)
    with pytest.raises(LoadError, match=str(folder)):
        Policy.load(str(folder), CPU, torch.float32)


@pytest.mark.parametrize("architecture", [LlamaForSequenceClassification, LlamaModel])
def test_a_model_without_an_output_layer_is_refused(folder: Path, architecture: Any) -> None:
    architecture(tiny_config("llama")).save_pretrained(folder)
    with pytest.raises(LoadError, match=f"{folder}: has no weights for lm_head.weight; is it a causal LM?"):
        Policy.load(str(folder), CPU, torch.float32)


def test_an_output_layer_that_is_the_embedding_is_not_missed(folder: Path) -> None:
    tiny_model("gpt2").save_pretrained(folder)
    policy = Policy.load(str(folder), CPU, torch.float32)
    assert policy.readout.weight is policy.model.get_input_embeddings().weight


@pytest.mark.parametrize("path", ["./nowhere", "/no/where", "nowhere", "no/such/folder"])
def test_a_folder_that_is_not_there_is_a_load_error(path: str) -> None:
    with pytest.raises(LoadError, match=f"{path}: no such folder"):
        Policy.load(path, CPU, torch.float32)


def test_a_hub_id_without_a_network_is_a_load_error() -> None:
    with pytest.raises(LoadError, match="mavis-tests/absent"):
        Policy.load("mavis-tests/absent", CPU, torch.float32)


@pytest.mark.parametrize("device", ["tpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_an_error_of_one_line(device: str) -> None:
    with pytest.raises(ConfigError, match=f"^device='{device}': .+$") as caught:
        resolve_device(device)
    assert "\n" not in str(caught.value)
    assert resolve_device("cpu") == CPU
