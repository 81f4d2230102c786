"""Where a model is: a folder, a hub id, or a GGUF file in one of them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, try_to_load_from_cache

from mavis_core.api.errors import LoadError
from mavis_core.model.hub import silence

GGUF_NEEDS = ("gguf", "accelerate")


def is_hub_id(path: str) -> bool:
    """Whether what is no folder here may be the name of one on the hub."""
    return path.count("/") == 1 and not path.startswith((".", "/", "~"))


def local_or_hub(path: str) -> str:
    """A folder as it is, anything else as a hub id.

    Raises:
        LoadError: it looks like a folder, and there is none.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return str(folder)
    if not is_hub_id(path):
        raise LoadError(f"{path}: no such folder (a hub id looks like 'owner/name')")
    return path


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What transformers' ``from_pretrained`` is told.

    Attributes:
        place: a folder or a hub id.
        gguf: a GGUF file in it, None for safetensors.
    """

    place: str
    gguf: str | None = None

    @classmethod
    def find(cls, path: str) -> ModelSource:
        """``folder``, ``owner/name``, ``path/to/file.gguf`` or ``owner/name:file.gguf``.

        Raises:
            LoadError: there is nothing there, or reading GGUF needs packages that are not installed.
        """
        if not path.endswith(".gguf"):
            return cls(local_or_hub(path))
        if missing := [name for name in GGUF_NEEDS if importlib.util.find_spec(name) is None]:
            raise LoadError(
                f"{path}: GGUF files need the package {' and '.join(missing)}: pip install 'mavis-server[gguf]'"
            )
        file = Path(path).expanduser()
        if file.is_file():
            return cls(str(file.parent), file.name)
        repository, colon, name = path.partition(":")
        if not (colon and name and is_hub_id(repository)):
            raise LoadError(f"{path}: no such file (one on the hub looks like 'owner/name:file.gguf')")
        return cls(repository, name)

    def reached(self) -> ModelSource:
        """Itself, or where the hub does not answer the folder of its cache with what was downloaded before.

        Raises:
            LoadError: the hub does not answer, and nothing was downloaded before.
        """
        if Path(self.place).is_dir():
            return self
        needed = self.gguf or "config.json"
        reason = silence(self.place, needed)
        if reason is None:
            return self
        found = try_to_load_from_cache(self.place, needed)
        if not isinstance(found, str):
            raise LoadError(f"{self.place}: no such folder, and {reason}; nothing was downloaded from there before")
        return ModelSource(found.removesuffix(needed), self.gguf)

    @property
    def arguments(self) -> dict[str, Any]:
        """Keywords of ``from_pretrained``; no code of a checkpoint is ever run."""
        found: dict[str, Any] = {"pretrained_model_name_or_path": self.place, "trust_remote_code": False}
        return found if self.gguf is None else {**found, "gguf_file": self.gguf}

    def gguf_path(self) -> Path:
        """The GGUF file on this machine, once transformers has read it."""
        assert self.gguf is not None
        if Path(self.place).is_dir():
            return Path(self.place) / self.gguf
        return Path(hf_hub_download(self.place, self.gguf, local_files_only=True))
