"""Rewards that bytes at random have enough of to be learned from; named in the files of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def low(prompts: Any, responses: Sequence[str]) -> list[float]:
    """Share of characters in the lower half of the byte range."""
    return [sum(ord(c) < 64 for c in text) / max(1, len(text)) for text in responses]


def short(prompts: Any, responses: Sequence[str]) -> list[float]:
    """Few characters."""
    return [-float(len(text)) for text in responses]
