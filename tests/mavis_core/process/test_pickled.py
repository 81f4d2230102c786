"""What crosses the pipe by its fields is what went in."""

from __future__ import annotations

import pickle
import pickletools
from dataclasses import fields
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import (
    ChoiceDelta,
    GuidanceStats,
    RequestOutput,
    SteeringChange,
    StepStats,
    TokenLogprobs,
    TokenReport,
)
from mavis_core.process import pickled
from mavis_core.process.engine_loop import Stepped

LOGPROBS = TokenLogprobs(5, -0.5, ((5, -0.5), (7, -1.5)), -0.25)
REPORT = TokenReport(5, -0.5, float("-inf"), 0.25, 0.05, {"a": 1.0}, steered=False)
STATS = GuidanceStats(1.5, 2, 0.5, 0.1, 0.4, {"a": 1.0}, 0.9, {"a": 2.0}, 3)
CHANGE = SteeringChange(3, Guidance({"a": 1.0}), 2.0)
DELTA = ChoiceDelta(1, "é\n", (5,), (LOGPROBS,), (REPORT,), "stop", "é", STATS, CHANGE, (0.3,))
OUTPUT = RequestOutput("r", 3, (DELTA, ChoiceDelta(0, "", ())), True, "wrong", "n", (None, LOGPROBS), 16, 0.75)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForkingPickler, "_extra_reducers", dict(ForkingPickler._extra_reducers))  # type: ignore[attr-defined]
    pickled.register()


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("message", [LOGPROBS, REPORT, DELTA, OUTPUT])
def test_every_field_arrives(message: Any) -> None:
    (found,) = pickle.loads(ForkingPickler.dumps((message,)))
    assert type(found) is type(message)
    for field in fields(message):
        assert getattr(message, field.name) != field.default, "the test sets every field"
        assert getattr(found, field.name) == getattr(message, field.name)


@pytest.mark.usefixtures("registered")
def test_they_go_by_their_fields_inside_a_step() -> None:
    step = Stepped((OUTPUT,) * 3, StepStats(1, 2, 3, 4, 5, 0.5, 0.1, 0.2))
    assert pickle.loads(ForkingPickler.dumps(step)) == step
    codes = [code.name for code, _, _ in pickletools.genops(bytes(ForkingPickler.dumps(step)))]
    assert codes.count("BUILD") == 2 + 3, "the step and its statistics; of its one delta totals, change and guidance"
