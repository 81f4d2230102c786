"""What held-out trees say of a trained value, in a line per objective, and whether they are enough to say it.

Ranking is what decoding uses; 0.5 is chance. Its interval (95 %) comes from how much trees differ, so many pairs of few
prompts do not count as much evidence.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

FEWEST_TREES = 10
"""With fewer, the differences between trees are no measure of anything."""
WIDEST = 0.05
"""An interval that reaches further to each side does not tell a weak value from none."""


def verdict(measured: Mapping[str, Mapping[str, Any]], betas: Mapping[str, float]) -> list[str]:
    """Lines for people.

    Args:
        measured: by column of the targets, what ``Measures`` has.
        betas: recommended beta of the value's objectives. Other columns are only said to be foreseen so well.
    """
    lines = []
    for name, m in measured.items():
        errors = f"held-out MSE {m['mse']:.3f} (constant {m['mse_constant']:.3f})"
        if name in betas:
            lines.append(f"{name}: {_ranking(m)}; {errors}, beta {betas[name]:g}. {_judged(m)}")
        else:
            lines.append(f"{name}: {errors}")
    return lines


def serve_line(policy: str, values: Sequence[str]) -> str:
    """What to paste into a shell next."""
    return f"mavis serve --model {shlex.quote(policy)} --values {shlex.quote(','.join(values))}"


def _ranking(m: Mapping[str, Any]) -> str:
    if not m["pairs"]:
        return "no two continuations to rank"
    told = f"siblings ranked right {m['ranking']:.3f}"
    if not math.isnan(m["ranking_error"]):
        low, high = _interval(m)
        told += f" ({low:.3f} to {high:.3f})"
    return f"{told} of {m['pairs']:,} pairs in {m['trees']:,} held-out trees"


def _judged(m: Mapping[str, Any]) -> str:
    low, high = _interval(m)
    if m["trees"] >= FEWEST_TREES and low > 0.5:
        return "Better than chance: it learned something."
    if m["trees"] < FEWEST_TREES or high - low > 2 * WIDEST:
        return (
            "WARNING: too little is held out to say whether it learned anything; "
            "more prompts, or a larger train.held_out, would tell."
        )
    return "No better than chance: steering by it will not do much (docs/training.md, Is it any good)."


def _interval(m: Mapping[str, Any]) -> tuple[float, float]:
    """NaN where nothing is known."""
    reach = 1.96 * m["ranking_error"]
    return m["ranking"] - reach, min(1.0, m["ranking"] + reach)
