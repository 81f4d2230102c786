"""Runs a client's checks one after another and prints how each ended, a line of JSON each.

The loops run in environments of the clients, so nothing of ours can be imported here.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

URL = sys.argv[1]
TOKENIZER = Path(sys.argv[2])
MODEL = "m"
QUESTIONS = ("How was your day?", "And how is it now?", "What comes next?")
MOODS = ("happy", "sad")
CHECKS: dict[str, Callable[[], Any]] = {}


def check(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def added(function: Callable[[], Any]) -> Callable[[], Any]:
        CHECKS[name] = function
        return function

    return added


def run() -> None:
    for name, function in CHECKS.items():
        try:
            asyncio.run(function()) if inspect.iscoroutinefunction(function) else function()
            said = "passed"
        except Exception as error:
            said = _first_line(error)
        print(json.dumps({"check": name, "said": said}), flush=True)


def _first_line(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".strip()
