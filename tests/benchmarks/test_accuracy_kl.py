"""The benchmark of what weights cost on a task: its questions, how an option is read off an echo, and one small run."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import httpx
import orjson
import pytest

from benchmarks.accuracy_kl.__main__ import measure, write
from benchmarks.accuracy_kl.task import Question, Scored, read_questions, score, summarise
from tests.server.edge import served
from tests.server.fake_engine import STEERING, TRUNCATION

STEERED = {"objective_weights": {"cheerful": 1}, "guidance": {"report": True}}
QUESTIONS = [Question("two and two is", (" four", " z")), Question("ab", ("c", "de"))]


def test_the_questions_differ_and_so_do_their_options() -> None:
    questions = read_questions()
    assert len({question.text for question in questions}) == 40
    for question in questions:
        assert len(set(question.options)) == 3
        assert all(option.startswith(" ") for option in question.options)


def test_options_are_scored_behind_their_questions() -> None:
    with served() as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        (four, z), (c, de) = score(client, QUESTIONS, STEERED)
        assert astuple(four) == pytest.approx((5 * (-0.5 - TRUNCATION), 5 * -0.75, 5 * STEERING, 5 * TRUNCATION, 5, 0))
        assert z.logprob == pytest.approx(-0.55 - 0.75)
        assert z.outside == 1
        assert (c.tokens, de.tokens) == (1, 2)
        base = score(client, QUESTIONS[1:], {})[0][0]
        assert astuple(base) == pytest.approx((-ord("c") / 100, -ord("c") / 100, 0, 0, 1, 0))


def scored(*logprobs: float) -> list[Scored]:
    return [Scored(logprob, 2 * logprob, 0.5, 0.1, 2, 1) for logprob in logprobs]


def test_the_likeliest_option_is_the_answer() -> None:
    found = summarise([scored(-1, -2, -3), scored(-5, -4, -6)])
    assert (found["questions"], found["right"], found["accuracy"]) == (2, 1, 0.5)
    assert (found["steering_nats_per_token"], found["truncation_nats_per_token"]) == (0.25, 0.05)
    assert (found["logprob_of_right"], found["base_logprob_of_right"]) == (-3, -6)
    assert (found["tokens"], found["outside"]) == (12, 6)


def test_a_row_for_each_weight_and_objective(tmp_path: Path) -> None:
    with served() as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        rows = list(measure(client, QUESTIONS, (0, 2)))
    assert [(row["objective"], row["weight"]) for row in rows] == [(None, 0), ("pirate", 2), ("wrong", 2)]
    write(rows, "path/to/model", tmp_path)
    assert orjson.loads((tmp_path / "results.json").read_bytes())["results"] == rows
    assert (tmp_path / "accuracy.svg").stat().st_size > 1000
