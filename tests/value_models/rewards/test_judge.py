"""An LLM judge: strictly parsed, retried, cached, and named in every failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mavis_core.api.errors import RewardError
from value_models.prompts import Prompt
from value_models.rewards.judge import Judge

PROMPTS = [Prompt.chat([{"role": "user", "content": f"question {i}"}]) for i in range(4)]
RESPONSES = ["a", "bb", "ccc", "dddd"]
Handler = Callable[[httpx.Request], Any]


def completion(content: str) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"role": "assistant", "content": content}}]})


def graded(request: httpx.Request) -> httpx.Response:
    """The length of the response is its score."""
    material = json.loads(request.content)["messages"][1]["content"]
    response = material.split("<response>\n")[1].split("\n</response>")[0]
    return completion(json.dumps({"score": len(response)}))


def judge(folder: Path, handler: Handler, **settings: Any) -> Judge:
    return Judge(
        "kind",
        "",
        "http://judge/v1",
        "m",
        settings.pop("rubric", "kindness"),
        folder / "kind.sqlite",
        pause=0.001,
        transport=httpx.MockTransport(handler),
        **settings,
    )


def test_scores_in_order_and_asks_nothing_twice(tmp_path: Path) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://judge/v1/chat/completions"
        asked.append(json.loads(request.content)["messages"][1]["content"])
        return graded(request)

    assert judge(tmp_path, handler).score(PROMPTS[:3] * 2, RESPONSES[:3] * 2) == [1, 2, 3, 1, 2, 3]
    assert len(asked) == 3, "equal questions are one question"
    assert judge(tmp_path, handler).score(PROMPTS, RESPONSES) == [1, 2, 3, 4]
    assert len(asked) == 4, "the cache outlives the judge"
    assert judge(tmp_path, handler, rubric="another").score(PROMPTS[:1], RESPONSES[:1]) == [1]
    assert len(asked) == 5, "another rubric is another question"


def test_what_was_answered_before_a_failure_is_kept(tmp_path: Path) -> None:
    def dies_on_three(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, text="no") if b"ccc" in request.content else graded(request)

    with pytest.raises(RewardError, match="judge 'm' at http://judge/v1: status 400: no"):
        judge(tmp_path, dies_on_three, concurrency=1).score(PROMPTS[:3], RESPONSES[:3])
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return graded(request)

    judge(tmp_path, handler).score(PROMPTS[:3], RESPONSES[:3])
    assert 1 <= len(asked) <= 3
    first = judge(tmp_path, dies_on_three)
    assert first.score(PROMPTS[:3], RESPONSES[:3]) == [1, 2, 3], "and now all of it is known"


def test_retries_what_may_pass(tmp_path: Path) -> None:
    answers = iter([httpx.Response(503), httpx.Response(429), completion('{"score": 7.5}')])
    assert judge(tmp_path, lambda request: next(answers)).score(PROMPTS[:1], ["x"]) == [7.5]


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ("I would say 7 out of 10.", "I would say 7"),
        ('```json\n{"score": 7}\n```', "```json"),
        ('{"score": "7"}', "score"),
        ('{"score": true}', "score"),
        ('{"score": 11}', "11"),
        ('{"score": NaN}', "NaN"),
        ('{"score": 5, "why": "nice"}', "why"),
        ("[7]", "7"),
    ],
)
def test_anything_but_one_number_in_range_is_refused(tmp_path: Path, content: str, got: str) -> None:
    with pytest.raises(RewardError, match=r"must be \{\"score\": number from 0 to 10\}") as caught:
        judge(tmp_path, lambda request: completion(content)).score(PROMPTS[:1], ["x"])
    assert "reward 'kind': judge 'm' at http://judge/v1 answered" in str(caught.value)
    assert got in str(caught.value)


def test_a_judge_that_times_out_or_is_not_there_is_named(tmp_path: Path) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    def absent(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(RewardError, match=r"judge 'm' at http://judge/v1: no answer within 3 s"):
        judge(tmp_path, slow, retries=1, timeout=3.0).score(PROMPTS[:1], ["x"])
    with pytest.raises(RewardError, match="ConnectError: refused"):
        judge(tmp_path, absent, retries=0).score(PROMPTS[:1], ["x"])
    with pytest.raises(RewardError, match="not a chat completion"):
        judge(tmp_path, lambda request: httpx.Response(200, text="<html>")).score(PROMPTS[:1], ["x"])


def test_requests_in_flight_are_bounded(tmp_path: Path) -> None:
    running, most = 0, 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return graded(request)

    judge(tmp_path, handler, concurrency=2).score(PROMPTS, RESPONSES)
    assert most == 2


def test_the_key_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer secret"
        return graded(request)

    with pytest.raises(RewardError, match="JUDGE_KEY is not set"):
        judge(tmp_path, handler, api_key_variable="JUDGE_KEY").score(PROMPTS[:1], ["x"])
    monkeypatch.setenv("JUDGE_KEY", "secret")
    assert judge(tmp_path, handler, api_key_variable="JUDGE_KEY").score(PROMPTS[:1], ["x"]) == [1]
