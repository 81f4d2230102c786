"""What is said of a value at the end: how sure it is, and a warning where it cannot be known."""

from __future__ import annotations

import math
import shlex
from typing import Any

import pytest

from value_models.training.verdict import serve_line, verdict

MEASURED: dict[str, Any] = {"mse": 0.8, "mse_constant": 1.0, "ranking": 0.6, "ranking_error": 0.01}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pairs": 4000, "trees": 100}, "0.600 (0.580 to 0.620) of 4,000 pairs in 100 held-out trees"),
        ({"pairs": 4000, "trees": 100}, "it learned something"),
        ({"pairs": 4000, "trees": 9}, "WARNING: too little is held out"),
        ({"pairs": 90, "trees": 30, "ranking": 0.55, "ranking_error": 0.04}, "WARNING: too little is held out"),
        ({"pairs": 9000, "trees": 300, "ranking": 0.505}, "No better than chance"),
        ({"pairs": 0, "trees": 0, "ranking": math.nan, "ranking_error": math.nan}, "no two continuations to rank"),
        ({"pairs": 0, "trees": 0, "ranking": math.nan, "ranking_error": math.nan}, "WARNING: too little is held out"),
        ({"pairs": 3, "trees": 1, "ranking": 1.0, "ranking_error": math.nan}, "right 1.000 of 3 pairs"),
        ({"pairs": 3, "trees": 1, "ranking": 1.0, "ranking_error": math.nan}, "WARNING: too little is held out"),
    ],
)
def test_a_value_is_judged_by_its_interval(changes: dict[str, Any], told: str) -> None:
    (line,) = verdict({"a": {**MEASURED, **changes}}, {"a": 1.25})
    assert line.startswith("a: ") and told in line
    assert "held-out MSE 0.800 (constant 1.000), beta 1.25" in line


def test_what_is_no_objective_is_only_said_to_be_foreseen() -> None:
    assert verdict({"a x b": {**MEASURED, "pairs": 1, "trees": 1}}, {"a": 1.0}) == [
        "a x b: held-out MSE 0.800 (constant 1.000)"
    ]


def test_the_line_to_paste_survives_a_shell() -> None:
    line = serve_line("my models/it's", ["a b/value", "c"])
    assert shlex.split(line) == ["mavis", "serve", "--model", "my models/it's", "--values", "a b/value,c"]
