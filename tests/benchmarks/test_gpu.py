"""The run on a GPU: stages that fail cost nothing but themselves, and the page says what was found, whole or not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import page, stages, steps
from benchmarks.gpu.stages import Stage
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from tests.models import head_value, tiny_policy


def test_a_stage_that_fails_says_why_and_one_that_lasts_is_stopped(tmp_path: Path) -> None:
    failed = stages.run(Stage("first", "missing", 9), tmp_path, True, 60.0)
    assert (failed["ended"], failed["findings"]) == ("failed (1)", [])
    assert "No module named benchmarks.gpu.missing" in failed["last"][-1]
    (tmp_path / "second.json").write_text('[{"kind": "lm", "rows": 2, "rows_equal": 1}]')
    stopped = stages.run(Stage("second", "rates", 9), tmp_path, True, 0.01)
    assert stopped["ended"] == "stopped after 0 s"
    assert stopped["findings"] == [{"kind": "lm", "rows": 2, "rows_equal": 1}]


def test_the_stages_fit_into_their_time() -> None:
    assert len({stage.name for stage in stages.STAGES}) == len(stages.STAGES)
    for stage in (*stages.STAGES, *stages.REHEARSED):
        assert Path("benchmarks/gpu", stage.module).with_suffix(".py").exists()
    assert sum(stage.limit for stage in stages.STAGES[:-2]) <= 570, "the reference may go without figures, no other"


@pytest.mark.parametrize("distinct", [1, 3, 8])
def test_distinct_settings_differ_in_everything(distinct: int) -> None:
    found = steps.steered(8, distinct)
    for name in ("weights", "beta", "max_kl_per_token"):
        assert len({repr(asdict(guidance)[name]) for guidance in found}) == distinct


def test_only_steps_in_which_all_rows_draw_are_timed() -> None:
    engine = Engine(
        tiny_policy("llama"),
        [head_value(tiny_policy("llama"), "a")],
        EngineConfig(max_num_seqs=3, max_num_batched_tokens=9, max_model_len=40),
    )
    drawn: list[int] = []
    step = engine.step

    def counted() -> Any:
        outputs = step()
        drawn.append(len(outputs))
        return outputs

    engine.step = counted  # type: ignore[method-assign]
    found = steps.step_seconds(engine, [[5 + i] * 8 for i in range(3)], [Guidance({"a": 1.0}), *[Guidance()] * 2], 4)
    assert len(found) == 4 and all(took > 0 for took in found)
    assert drawn[-steps.WARM - 4 :] == [3] * (steps.WARM + 4) and drawn[0] < 3
    assert not engine.has_work


def report(**more: Any) -> dict[str, Any]:
    rates = [{"machine": {"device": "H100"}}, {"copy_bytes_per_s": 3e12, "read_bytes_per_s": 2e12}]
    found = [
        {
            "shape": "7b",
            "backend": "triton",
            "arm": arm,
            "rows": 1,
            "step_seconds": seconds,
            "tokens_per_s": 1 / seconds,
        }
        | {"bytes_per_s": 1.5e10 / seconds, "flops": 1.5e10 / seconds, **extra}
        for arm, seconds, extra in (
            ("unguided", 0.008, {}),
            ("head", 0.01, {}),
            ("distinct", 0.01, {"distinct": 1}),
            ("distinct", 0.02, {"distinct": 8}),
        )
    ]
    return {
        "rehearse": False,
        "stages": [
            {"stage": "rates", "ended": "done", "seconds": 3.0, "findings": rates},
            {"stage": "7b, triton", "ended": "stopped after 90 s", "seconds": 90.0, "findings": found},
        ],
    } | more


def test_the_page_has_shares_of_what_the_machine_can() -> None:
    text = page.page(report())
    assert "| 7b | triton | unguided | 1 | 8.00 | 125 | 1.000 | 0.625 |  |" in text
    assert "| 7b | triton | head | 1 | 10.00 | 100 | 0.800 | 0.500 |  |" in text
    assert "| 7b | triton | 8 distinct settings | 1 | 20.00 | 50 | 0.500 | 0.250 |  |" in text
    assert "| 7b, triton | stopped after 90 s | 90.0 |" in text
    assert "rehearsal" not in text


def test_a_page_of_nothing_says_so() -> None:
    text = page.page(
        {"rehearse": True, "stages": [{"stage": "rates", "ended": "failed (1)", "seconds": 1.0, "findings": []}]}
    )
    assert text.count("Nothing was found.") == 3 and "rehearsal" in text
