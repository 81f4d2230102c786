"""Requests and tokens per minute: the counters alone, and over HTTP with OpenAI's headers."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from server.errors import RateLimitError
from server.http.keys import ApiKey, digest_of
from server.http.rate_limits import RateLimits, duration
from tests.server.conftest import USER, Live, app_client
from tests.server.fake_engine import FakeEngine

ANN, BOB = (ApiKey(name, digest_of(name)) for name in ("ann", "bob"))
CHAT = "/v1/chat/completions"
PROMPT = len(b"user:hi\nassistant:")


def left(limits: RateLimits, key: ApiKey, kind: str = "tokens") -> int:
    return int(dict(limits.allowance(key).headers())[f"x-ratelimit-remaining-{kind}".encode()])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def test_requests(clock: list[float]) -> None:
    limits = RateLimits(2, None)
    for _ in range(2):
        limits.allowance(ANN).take_request()
    clock[0] += 20.5
    with pytest.raises(RateLimitError, match="requests per minute of 'ann': limit 2, used 2") as error:
        limits.allowance(ANN).take_request()
    assert error.value.retry_after == 40
    limits.allowance(BOB).take_request()  # another key's limit is its own
    clock[0] += 40
    limits.allowance(ANN).take_request()
    assert left(limits, ANN, "requests") == 1


def test_tokens_are_reserved_and_corrected(clock: list[float]) -> None:
    limits = RateLimits(None, 100)
    first = limits.allowance(ANN)
    first.reserve(90)
    with pytest.raises(RateLimitError) as error:
        limits.allowance(ANN).reserve(11)
    assert error.value.type == "tokens"
    assert left(limits, ANN) == 10
    first.spent = 25
    first.reconcile()
    first.reconcile()
    assert left(limits, ANN) == 75
    more = limits.allowance(ANN)
    more.reserve(10)
    more.spent = 200  # an answer whose length nobody limited
    more.reconcile()
    assert left(limits, ANN) == 0


def test_what_a_past_window_reserved_is_not_given_to_the_next(clock: list[float]) -> None:
    limits = RateLimits(None, 100)
    old = limits.allowance(ANN)
    old.reserve(90)
    clock[0] += 61
    limits.allowance(ANN).reserve(50)
    old.reconcile()
    assert left(limits, ANN) == 50


@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_a_clock_that_is_set_back_begins_a_new_window(clock: list[float], kind: str) -> None:
    """An hour back: what was used in a window that would end in an hour is not held against anybody."""
    limits = RateLimits(1, 100)
    old = limits.allowance(ANN)
    old.take_request()
    old.reserve(90)
    clock[0] -= 3600
    headers = {name.decode(): value for name, value in limits.allowance(ANN).headers()}
    assert headers[f"x-ratelimit-reset-{kind}"] == b"0ms"
    assert (left(limits, ANN, "requests"), left(limits, ANN)) == (1, 100)
    new = limits.allowance(ANN)
    new.take_request()
    new.reserve(50)
    old.spent = 200
    old.reconcile()  # charged to the window that is running
    assert left(limits, ANN) == 0
    with pytest.raises(RateLimitError) as error:
        new.take_request() if kind == "requests" else new.reserve(60)
    assert error.value.retry_after == 60
    clock[0] += 61
    limits.allowance(ANN).take_request()


def test_a_clock_that_goes_back_by_less_keeps_the_window(clock: list[float]) -> None:
    limits = RateLimits(1, None)
    clock[0] += 50
    limits.allowance(ANN).take_request()
    clock[0] += 30
    clock[0] -= 20
    with pytest.raises(RateLimitError) as error:
        limits.allowance(ANN).take_request()
    assert error.value.retry_after == 50


def test_more_than_the_limit_never_fits() -> None:
    with pytest.raises(RateLimitError, match="a request may need at most 100") as error:
        RateLimits(None, 100).allowance(ANN).reserve(101)
    assert error.value.retry_after is None


def test_a_key_may_have_limits_of_its_own() -> None:
    limits = RateLimits(1, None)
    favoured = ApiKey("vip", digest_of("vip"), 5, 70)
    headers = dict(limits.allowance(favoured).headers())
    assert headers[b"x-ratelimit-limit-requests"] == b"5"
    assert headers[b"x-ratelimit-limit-tokens"] == b"70"
    assert limits.allowance(ANN).headers()[0] == (b"x-ratelimit-limit-requests", b"1")


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0ms"), (0.12, "120ms"), (1, "1s"), (59.25, "59.25s"), (60, "1m0s"), (90.5, "1m30.5s")]
)
def test_durations_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def ratelimit(response: httpx.Response) -> dict[str, str]:
    return {n.removeprefix("x-ratelimit-"): v for n, v in response.headers.items() if n.startswith("x-ratelimit-")}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
async def test_headers_and_corrections_over_http(path: str, stream: bool) -> None:
    prompt: Any = {"messages": USER} if path == CHAT else {"prompt": "x" * PROMPT}
    async with app_client(requests_per_minute=3, tokens_per_minute=1000) as client:
        body = {**prompt, "max_tokens": 5, "n": 2, "stream": stream}
        first = ratelimit(await client.post(path, json=body))
        assert (first["limit-requests"], first["limit-tokens"]) == ("3", "1000")
        assert first["remaining-requests"] == "2"
        assert re.fullmatch(r"1m0s|59\.\d+s", first["reset-requests"])
        wrong = await client.post(path, content=b"{", headers={"content-type": "application/json"})
        assert wrong.status_code == 400  # counts as a request, takes no tokens
        assert ratelimit(wrong)["remaining-requests"] == "1"
        assert ratelimit(wrong)["remaining-tokens"] == str(1000 - PROMPT - 10)
        await client.post(path, json=body)
        refused = await client.post(path, json=body)
        error = refused.json()["error"]
        assert (refused.status_code, error["type"], error["code"]) == (429, "requests", "rate_limit_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["x-request-id"]
        assert ratelimit(refused)["remaining-tokens"] == str(1000 - 2 * (PROMPT + 10))
        assert not ratelimit(await client.get("/v1/models"))
        assert (await client.get("/v1/models")).status_code == 200


async def test_too_many_tokens(engine: FakeEngine) -> None:
    async with app_client(engine, tokens_per_minute=100) as client:
        never = await client.post(CHAT, json={"messages": USER, "max_tokens": 100})
        assert (never.status_code, never.json()["error"]["type"]) == (429, "tokens")
        assert "retry-after" not in never.headers
        assert never.headers["x-should-retry"] == "false"
        assert not engine.requests
        assert (await client.post(CHAT, json={"messages": USER, "max_tokens": 80})).status_code == 200
        later = await client.post(CHAT, json={"messages": USER, "max_tokens": 80})
        assert later.status_code == 429 and later.headers["retry-after"]


async def test_refusals_are_counted() -> None:
    async with app_client(requests_per_minute=2, tokens_per_minute=100) as client:
        for most in (100, 10, 10, 10):
            await client.post(CHAT, json={"messages": USER, "max_tokens": most})
        text = (await client.get("/metrics")).text
    assert 'mavis:rate_limited_total{limit="tokens"} 1.0' in text
    assert 'mavis:rate_limited_total{limit="requests"} 2.0' in text


async def test_no_limits_no_headers(client: httpx.AsyncClient) -> None:
    assert not ratelimit(await client.post(CHAT, json={"messages": USER}))


async def test_what_fails_gives_its_tokens_back(engine: FakeEngine) -> None:
    async with app_client(engine, tokens_per_minute=100) as client:
        engine.state = "draining"
        failed = await client.post(CHAT, json={"messages": USER, "max_tokens": 50})
        assert failed.status_code == 503
        engine.state = "ready"
        wrong = await client.post(CHAT, content=b"{", headers={"content-type": "application/json"})
        assert ratelimit(wrong)["remaining-tokens"] == "100"


def test_a_stream_that_is_left_is_charged_what_it_got(serve: Any) -> None:
    live: Live = serve(FakeEngine(latency=0.02), tokens_per_minute=1000)
    body = {"messages": USER, "max_tokens": 300, "stream": True}
    with httpx.stream("POST", live.url + CHAT, json=body) as response:
        assert ratelimit(response)["remaining-tokens"] == str(1000 - PROMPT - 300)
        next(response.iter_lines())
    live.wait_idle()

    def remaining() -> int:
        return int(ratelimit(httpx.post(live.url + CHAT, content=b"{"))["remaining-tokens"])

    deadline = time.monotonic() + 20
    while remaining() == 1000 - PROMPT - 300 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 700 < remaining() < 1000 - PROMPT


def test_the_official_client_understands(serve: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text("- {key: key-of-ann, name: ann, requests_per_minute: 1}\n- key-of-bob\n")
    live: Live = serve(api_key_file=keys)
    ask: Any = {"model": "fake/model", "messages": USER}
    ann = openai.OpenAI(base_url=live.url + "/v1", api_key="key-of-ann", max_retries=0)
    raw = ann.chat.completions.with_raw_response.create(**ask)
    assert raw.headers["x-ratelimit-limit-requests"] == "1"
    with pytest.raises(openai.RateLimitError) as error:
        ann.chat.completions.create(**ask)
    assert (error.value.code, error.value.type) == ("rate_limit_exceeded", "requests")
    bob = openai.OpenAI(base_url=live.url + "/v1", api_key="key-of-bob", max_retries=0)
    for _ in range(3):
        bob.chat.completions.create(**ask)
