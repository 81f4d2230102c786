"""Prompts of token ids, another for each row: long enough for anything, and the same in every run."""

from __future__ import annotations

SPECIAL = 6  # ids below it are control tokens in the vocabularies that are measured


def prompts(rows: int, length: int, vocab: int, start: int = 0) -> list[list[int]]:
    """``rows`` prompts of ``length`` tokens; another ``start`` gives prompts that begin otherwise."""
    usual = vocab - SPECIAL
    return [[SPECIAL + (17 * i + 31 * j) % usual for j in range(length)] for i in range(start, start + rows)]
