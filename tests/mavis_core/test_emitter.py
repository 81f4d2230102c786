"""What a drawn token means to its row: text, why it ends, and what steering it has cost so far."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ChoiceDelta
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.emitter import Emitter
from mavis_core.sample.kl import DrawStats
from mavis_core.sample.sampler import SampledToken
from mavis_core.schedule.row import Row
from mavis_core.schedule.row_fault import NOT_FINITE
from tests.mavis_core.rows import STOP, admission
from tests.models import objective, request

EMITTER = Emitter([objective("a"), objective("b"), objective("c")])
STATS = DrawStats(0.25, 0.5, -1.0, -2.5, [1.0, -3.0, 0.0], [2.0, 4.0, 0.0])


def row(sampling: SamplingParams | None = None, guidance: Guidance | None = None) -> Row:
    """Of a prompt of two letters, with text."""
    wanted = request("r", [104, 105], sampling or SamplingParams(), guidance)
    return admission(tokenizer=True).rows(wanted)[0]


def emit(target: Row, text: str | list[int], stats: DrawStats | None = None) -> list[ChoiceDelta]:
    """One step for each token (or byte)."""
    tokens = list(text.encode()) if isinstance(text, str) else text
    found = []
    for token in tokens:
        found += EMITTER.emit([target], [SampledToken(token, True, stats)], [None])["r"]
    return found


def test_text_comes_token_by_token_until_the_models_own_stop() -> None:
    target = row()
    deltas = [*emit(target, "ab"), *emit(target, [STOP])]
    assert [(d.text, d.token_ids) for d in deltas] == [("a", (97,)), ("b", (98,)), ("", (STOP,))]
    assert [d.finish_reason for d in deltas] == [None, None, "stop"]
    assert deltas[-1].stop_reason is None
    assert target.tokens == [104, 105, 97, 98, STOP]


@pytest.mark.parametrize(
    ("sampling", "text", "reason", "told", "shown"),
    [
        (SamplingParams(stop_token_ids=(99,)), "abc", "stop", 99, "ab"),
        (SamplingParams(stop=("bc",)), "abc", "stop", "bc", "a"),
        (SamplingParams(max_tokens=3), "abc", "length", None, "abc"),
        # At the limit a stop string counts before it, and what might have become one is shown.
        (SamplingParams(max_tokens=3, stop=("bc",)), "abc", "stop", "bc", "a"),
        (SamplingParams(max_tokens=3, stop=("bcd",)), "abc", "length", None, "abc"),
        (SamplingParams(min_tokens=3, max_tokens=4, stop=("b",)), "abab", "stop", "b", "aba"),
    ],
)
def test_why_it_ends(sampling: SamplingParams, text: str, reason: str, told: Any, shown: str) -> None:
    deltas = emit(row(sampling), text)
    assert "".join(d.text for d in deltas) == shown
    assert [d.finish_reason for d in deltas] == [None] * (len(text) - 1) + [reason]
    assert deltas[-1].stop_reason == told


def test_what_was_drawn_behind_a_prompt_that_was_only_read_is_nobodys() -> None:
    target = row(SamplingParams(max_tokens=0))
    (delta,) = emit(target, "a")
    assert (delta.text, delta.token_ids, delta.finish_reason) == ("", (), "length")
    assert target.tokens == [104, 105]


def test_totals_are_of_the_named_objectives_and_reports_of_each_token() -> None:
    """Every delta says what its token has cost, the last one the totals."""
    target = row(SamplingParams(max_tokens=2), Guidance({"b": 1.0, "a": -2.0}, beta=1.5, report=True))
    first, second = emit(target, "xy", STATS)
    assert first.guidance is None and second.guidance is not None
    assert first.kl_nats == second.kl_nats == (0.75,)
    assert (second.guidance.tokens, second.guidance.beta) == (2, 1.5)
    assert second.guidance.steering_nats == pytest.approx(0.5)
    assert second.guidance.truncation_nats == pytest.approx(1.0)
    assert second.guidance.sampled_nats == pytest.approx(3.0)
    assert second.guidance.topk_base_mass == pytest.approx(2.718281828**-0.5)
    assert second.guidance.values == {"a": 1.0, "b": -3.0}
    assert second.guidance.value_spread == {"a": 2.0, "b": 4.0}
    (report,) = second.reports
    assert (report.token_id, report.logprob, report.base_logprob) == (121, -1.0, -2.5)
    assert (report.steering_nats, report.truncation_nats) == (0.25, 0.5)
    assert report.values == {"a": 1.0, "b": -3.0}


def test_sums_go_on_by_name_when_the_row_names_others_and_when_columns_move() -> None:
    target = row(SamplingParams(max_tokens=4), Guidance({"a": 1.0}))
    emit(target, "x", STATS)
    target.named = (0, 1)  # as steering does
    emit(target, "x", STATS)
    target.named = (0,)  # what stands in the first column now, with values loaded and unloaded, is another objective
    moved = Emitter([objective("b"), objective("a")])
    moved.emit([target], [SampledToken(97, True, STATS)], [None])
    target.named = (1,)
    (delta,) = moved.emit([target], [SampledToken(97, True, STATS)], [None])["r"]
    assert delta.guidance is not None
    assert delta.guidance.values == {"a": pytest.approx((1.0 + 1.0 - 3.0) / 3), "b": pytest.approx((-3.0 + 1.0) / 2)}
    assert delta.guidance.tokens == 4
    assert delta.guidance.value_spread["b"] == pytest.approx(3.0)


def test_numbers_that_are_not_finite_are_the_rows_fault_and_say_nothing() -> None:
    target, other = row(), row()
    other.request = replace(other.request, id="s")
    deltas = EMITTER.emit([target, other], [SampledToken(97, False, None), SampledToken(98, True, None)], [None, None])
    assert [d.text for d in deltas["s"]] == ["b"]
    assert deltas["r"] == []
    assert target.fault is not None
    assert (target.fault.message, target.fault.spoiled) == (NOT_FINITE, True)
    assert target.tokens == [104, 105]
    assert other.fault is None
