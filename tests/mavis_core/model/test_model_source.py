from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from mavis_core.api.errors import LoadError
from mavis_core.model.model_source import ModelSource
from mavis_core.model.policy import Policy, read_tokenizer
from tests.gguf_file import END, write_gguf

CPU = torch.device("cpu")


def test_a_gguf_file_is_the_model_and_tokenizer_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "tiny.Q8_0.gguf"
    model = write_gguf(path)
    policy = Policy.load(str(path), CPU, torch.float32)
    assert policy.name == str(path)
    text = torch.tensor([3, 50, 7, 256, 90])
    with torch.inference_mode():
        expected = model(text[None]).logits[0]
        found = policy.logits(policy.backbone.forward_plain(text))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert policy.stop_token_ids == (END,)
    assert policy.max_model_len == 128
    for tokenizer in (policy.tokenizer, read_tokenizer(str(path))):
        assert tokenizer is not None
        ids = tokenizer.encode("hi, hé<|im_end|>")
        assert 256 in ids and ids[-1] == END
        assert tokenizer.decode(ids[:-1]) == "hi, hé"
        chat = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
        assert chat == "<|im_start|>x<|im_end|>"
    policy.model.save_pretrained(tmp_path / "folder")
    policy.tokenizer.save_pretrained(tmp_path / "folder")  # type: ignore[union-attr]
    again = Policy.load(str(tmp_path / "folder"), CPU, torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(again.logits(again.backbone.forward_plain(text)), found)
    assert Policy.load(str(path), CPU, "auto").dtype == torch.bfloat16


def test_where_a_gguf_file_is(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    assert ModelSource.find(str(tmp_path / "a.gguf")) == ModelSource(str(tmp_path), "a.gguf")
    assert ModelSource.find("owner/repo:a.Q4_1.gguf") == ModelSource("owner/repo", "a.Q4_1.gguf")
    assert ModelSource.find("owner/repo:sub/a.gguf") == ModelSource("owner/repo", "sub/a.gguf")
    assert ModelSource.find("owner/repo") == ModelSource("owner/repo")
    assert ModelSource.find(str(tmp_path)) == ModelSource(str(tmp_path))


@pytest.mark.parametrize("path", ["nowhere.gguf", "./no/where.gguf", "owner/repo.gguf", "owner:a.gguf", "a/b/c:d.gguf"])
def test_a_gguf_file_that_is_not_there_is_a_load_error(path: str) -> None:
    with pytest.raises(LoadError, match=rf"^{path}: no such file \(one on the hub looks like 'owner/name:file.gguf'\)"):
        ModelSource.find(path)


@pytest.mark.parametrize("content", [b"", b"not GGUF at all, but long enough to be read", b"GGUF\x03\x00\x00\x00"])
def test_a_file_that_is_no_gguf_is_a_load_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=str(path)):
        Policy.load(str(path), CPU, torch.float32)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec

    def without_gguf(name: str, package: Any = None) -> Any:
        return None if name == "gguf" else known(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_gguf)
    with pytest.raises(LoadError, match=r"x\.gguf: .* need the package gguf: pip install 'mavis-server\[gguf\]'"):
        ModelSource.find("x.gguf")
