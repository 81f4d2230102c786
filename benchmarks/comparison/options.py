"""Options that several benchmarks have; what they are by default stands with each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Option(help="folder as transformers saves it, or hub id")]
ReadMib = Annotated[int, typer.Option(help="size of the tensor that bandwidth is measured on")]
Redraw = Annotated[bool, typer.Option(help="measure nothing: draw and tabulate --out again")]
Out = Annotated[Path | None, typer.Option(help="JSON file to write; the picture beside it")]
