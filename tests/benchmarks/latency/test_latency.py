"""Tokens are timed by the step that drew them; situations leave an idle engine; one small run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.latency import __main__ as latency
from benchmarks.latency.clocked import Clocked, Timeline, percentiles
from benchmarks.latency.scenes import Asking, closed_load, long_prompt, open_load, shared_prefix
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from tests.models import VOCAB, assert_idle, mixed_engine, save_byte_llama

ASKING = Asking(VOCAB, prompt=5, tokens=3, guidance=Guidance({"a": 1.0}, beta=1.0))


@pytest.fixture
def engine() -> Engine:
    return mixed_engine(max_num_seqs=4, max_num_batched_tokens=8)


def test_gaps_are_those_that_end_in_the_window() -> None:
    timeline = Timeline(arrived=1, tokens=[3, 4, 6, 9])
    assert timeline.to_first == 2
    assert timeline.gaps() == [1, 2, 3] and timeline.gaps(after=4) == [2, 3] and timeline.gaps(4, until=6) == [2]


def test_percentiles_are_milliseconds() -> None:
    assert percentiles([0.001, 0.002, 0.003]) == {"p50_ms": 2.0, "p99_ms": 2.98}


def test_each_token_is_timed_once(engine: Engine) -> None:
    clocked = Clocked(engine)
    timelines = [clocked.add(ASKING.request(str(i), i)) for i in range(3)]
    ended = []
    while clocked.busy:
        ended += clocked.step()
    assert sorted(ended) == ["0", "1", "2"]
    for timeline in timelines:
        assert len(timeline.tokens) == 3 and timeline.finished and timeline.to_first > 0
        assert sorted(set(timeline.tokens)) == timeline.tokens


def test_a_long_prompt_is_read_while_rows_decode(engine: Engine) -> None:
    """20 tokens beside two rows, in steps of 8: four of them."""
    found = long_prompt(engine, ASKING, rows=2, length=20, rounds=1)
    assert found["steps_during"] == 4 and found["during"]["p99_ms"] >= found["during"]["p50_ms"] > 0
    assert_idle(engine)


def test_the_second_prompt_reads_only_what_the_prefix_lacks(engine: Engine) -> None:
    found = shared_prefix(engine, ASKING, shared=30, rounds=1)
    assert found["first_ms"] > 0 and found["second_ms"] > 0
    stats = engine.last_step
    assert stats is not None and stats.prompt_tokens <= 8 + engine.config.block_size
    assert_idle(engine)


def test_loads_answer_every_request(engine: Engine) -> None:
    closed = closed_load(engine, ASKING, clients=3, each=2)
    assert closed["requests"] == 6 and closed["tokens_per_s"] == pytest.approx(3 * closed["requests_per_s"], rel=0.01)
    assert_idle(engine)
    found = open_load(engine, ASKING, rate=1000, requests=5)
    assert found["requests"] == 5 and found["to_first"]["p50_ms"] > 0
    assert_idle(engine)


def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr(latency, "draw", lambda found, path: drawn.append(path))
    save_byte_llama(tmp_path / "model")
    out = tmp_path / "latency.json"
    small: dict[str, Any] = {
        "prompt_tokens": 4,
        "tokens": 3,
        "rounds": 1,
        "clients": 2,
        "requests": 1,
        "read_mib": 1,
        "threads": 1,
    }
    latency.main(str(tmp_path / "model"), rows=2, long=20, shared=17, max_num_batched_tokens=8, out=out, **small)
    found = json.loads(out.read_text())
    scenes = {*latency.LONG_PROMPTS, "shared_prefix", "closed_load", "open_load", "memory", "share_of_limits"}
    assert found["results"].keys() == scenes and found["guided"]
    assert found["results"]["memory"]["resident_mib"] > 0
    assert drawn == [tmp_path / "latency.svg"]
