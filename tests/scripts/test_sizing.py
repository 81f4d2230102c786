from __future__ import annotations

import pytest

from scripts.sizing import MEASURED_ON, MODELS, PAGE, TABLE, drawn, row, table


def test_the_page_has_what_the_forecast_computes() -> None:
    """``python -m scripts.sizing`` writes it."""
    assert TABLE.findall(PAGE.read_text(encoding="utf-8")) == [table()]


def test_what_is_made_of_a_guess_is_marked_as_one() -> None:
    assert drawn() == pytest.approx(1000 * 3174.4 + 2 * 100 * 128 * 6)
    *_, cpu, cpu_time, gpu, gpu_time, _ = [*row(MEASURED_ON).split(" | "), ""]
    assert ("measured" in cpu, "guess" in cpu_time, "guess" in gpu, "guess" in gpu_time) == (True, False, True, True)
    assert all(row(model).count("guess") == 4 for model in MODELS[2:])
