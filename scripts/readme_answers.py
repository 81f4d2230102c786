"""Answers of the README's examples: asks a running model what they ask, and writes down what it says.

    python -m scripts.readme_answers --model path/to/smollm2

The README shows ``HuggingFaceTB/SmolLM2-135M-Instruct``; where there is no hub, ``scripts.fetch_model`` fetches that
model as it is in 4 bits. The examples are greedy, so that the answers are always those of these weights. What is
rewritten: whatever ``mavis chat`` says in the console block, and the text block behind the first Python block.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scripts.served import served
from server.terminal.remote import HttpBackend
from server.terminal.repl import Repl

README = Path("README.md")
URL = "http://127.0.0.1:8000"
WIDTH = 110
SESSION = re.compile(r"(?<=```console\n)(\$ mavis chat[^\n]*\n)(.*?)(?=```)", re.DOTALL)
EXAMPLE = re.compile(r"(```python\n(.*?)```\n\n```text\n)(.*?)(?=```)", re.DOTALL)


def session(url: str, typed: Sequence[str]) -> str:
    """What a terminal shows of ``mavis chat`` in which these lines are typed."""
    shown, lines = io.StringIO(), iter(typed)

    async def read() -> str:
        line = next(lines, "/quit")
        if line == typed[0]:
            shown.truncate(shown.seek(0))  # the list of objectives is longer than the conversation
        if line != "/quit":
            shown.write(f"> {line}\n")
        return line

    console = Console(file=shown, width=WIDTH, color_system=None)
    asyncio.run(Repl(HttpBackend(url), console, read).run())
    return wrapped(shown.getvalue())


def example(url: str, code: str) -> str:
    """What a Python block prints, its numbers with three decimals."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code.replace(URL, url), "README", "exec"), {})
    return wrapped(re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3f}", printed.getvalue()))


def wrapped(text: str) -> str:
    """Lines of at most ``WIDTH``, without spaces at their ends."""
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, WIDTH) or [""]]
    return "\n".join(lines) + "\n"


def answered(page: str, url: str) -> str:
    """The page with the answers of the server at ``url``."""

    def chat(found: re.Match[str]) -> str:
        typed = [line.removeprefix("> ") for line in found[2].splitlines() if line.startswith("> ")]
        return found[1] + session(url, typed)

    page = SESSION.sub(chat, page, count=1)
    return EXAMPLE.sub(lambda found: found[1] + example(url, found[2]), page, count=1)


def main(model: Annotated[str, typer.Option(help="as of mavis serve")]) -> None:
    """Rewrites README.md."""
    with served("--model", model) as server:
        README.write_text(answered(README.read_text(encoding="utf-8"), server.url), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
