"""A made-up head in a pickle becomes a folder that says the same in z-units; what is no plain tensor runs nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from transformers import LlamaForCausalLM

from mavis_core.model.policy import Policy
from scripts.convert_value_head import main, pick, read_bin, readout_of
from tests.models import HIDDEN, byte_tokenizer, save_byte_llama, tiny_config
from value_models.folders import load_value
from value_models.value_config import ValueConfig

VOCAB = 257


def given(seed: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {"score.weight": torch.randn(VOCAB, HIDDEN).half(), "score.bias": torch.randn(VOCAB)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy, and a smaller model of its tokenizer."""
    found = tmp_path_factory.mktemp("models")
    save_byte_llama(found / "policy")
    config = tiny_config("llama")
    config.vocab_size, config.num_hidden_layers, config.pad_token_id = VOCAB, 1, None
    torch.manual_seed(4)
    LlamaForCausalLM(config).save_pretrained(found / "backbone")
    byte_tokenizer().save_pretrained(found / "backbone")
    return found


def convert(folder: Path, out: Path, tensors: Any, **options: Any) -> None:
    torch.save(tensors, out.parent / "head.bin")
    paths = {"policy": str(folder / "policy"), "backbone": str(folder / "backbone"), "head": out.parent / "head.bin"}
    main(**{**paths, "objective": "kind", "out": out, **options})


def test_a_head_becomes_a_folder_that_says_the_same(folder: Path, tmp_path: Path) -> None:
    tensors = given()
    convert(folder, tmp_path / "v", {"state_dict": tensors}, reward_mean=0.5, reward_std=2.0, beta=3.0)
    (told,) = ValueConfig.load(tmp_path / "v").objectives
    assert (told.name, told.reward_mean, told.reward_std, told.recommended_beta) == ("kind", 0.5, 2.0, 3.0)
    value: Any = load_value(tmp_path / "v", Policy.load(str(folder / "policy"), torch.device("cpu"), torch.float32))
    with torch.inference_mode():
        hidden = value.model.forward_plain(torch.tensor([5, 7]))[-1]
        raw = hidden @ tensors["score.weight"].float().T + tensors["score.bias"]
        found = value.reference([5, 7], [9, 200], hidden)[:, 0]
    torch.testing.assert_close(found, ((raw - 0.5) / 2.0)[[9, 200]], rtol=1e-4, atol=1e-4)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("bomb",)


def test_code_in_a_pickle_is_not_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.BadParameter, match="Weights only load failed"):
        convert(folder, tmp_path / "v", {"weight": Bomb()})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.bin"]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    class Backbone:
        class config:
            vocab_size, hidden_size = VOCAB, HIDDEN

    tensors = given()
    turned = tensors["score.weight"].T
    with pytest.raises(typer.BadParameter, match=rf"must be .*\({VOCAB}, {HIDDEN}\), is \({HIDDEN}, {VOCAB}\)"):
        readout_of(turned, None, Backbone, 0.0, 1.0)
    with pytest.raises(typer.BadParameter, match=r"--bias: must be \(257,\), is \(3,\)"):
        readout_of(tensors["score.weight"], torch.zeros(3), Backbone, 0.0, 1.0)
    with pytest.raises(typer.BadParameter, match=r"--weight is needed: the file has a \(2, 2\), b \(2, 2\)"):
        pick({"a": torch.zeros(2, 2), "b": torch.zeros(2, 2)}, None, 2, "--weight")
    with pytest.raises(typer.BadParameter, match=r"--weight c: the file has a \(1,\)"):
        pick({"a": torch.zeros(1)}, "c", 2, "--weight")
    torch.save([torch.zeros(1)], tmp_path / "list.bin")
    with pytest.raises(typer.BadParameter, match="must be tensors by name, is a list"):
        read_bin(tmp_path / "list.bin")
    (tmp_path / "text.bin").write_text("no pickle")
    with pytest.raises(typer.BadParameter, match=r"--head .*text\.bin: "):
        read_bin(tmp_path / "text.bin")


def test_another_tokenizer_and_a_folder_that_is_there_are_refused(folder: Path, tmp_path: Path) -> None:
    other = byte_tokenizer()
    other.add_tokens(["<new>"])
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(typer.BadParameter, match="other: its tokenizer is not the policy's"):
        convert(folder, tmp_path / "v", given(), backbone=str(tmp_path / "other"))
    with pytest.raises(typer.BadParameter, match="is there already"):
        convert(folder, tmp_path, given())
