"""Conversations with ``mavis chat``, local and over HTTP, with input and output in the test's hands."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from server.terminal.backend import Backend
from server.terminal.local import LocalBackend
from server.terminal.remote import HttpBackend
from server.terminal.repl import Repl
from tests.server.conftest import Live
from tests.server.fake_engine import SCRIPT, FakeEngine, FakeTokenizer


async def converse(backend: Backend, *lines: str) -> str:
    said = iter(lines)

    async def read() -> str:
        try:
            return next(said)
        except StopIteration:
            raise EOFError from None

    console = Console(file=io.StringIO(), width=120)
    await Repl(backend, console, read).run()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(params=["local", "http"])
def backend(request: pytest.FixtureRequest, engine: FakeEngine, serve: Callable[..., Live]) -> Backend:
    if request.param == "local":
        return LocalBackend(engine, FakeTokenizer)
    return HttpBackend(serve(engine, api_key="k").url + "/v1", "k")


async def test_weights_change_between_turns(backend: Backend, engine: FakeEngine) -> None:
    shown = await converse(
        backend, "hi", "/weights cheerful=1 concise=-0.5", "/beta 2", "/seed 7", "again", "/reset", "/beta auto", "new",
        "/quit", "never",
    )  # fmt: skip
    assert shown.count(SCRIPT.decode()) == 3
    assert "not steered" in shown
    assert "KL 6.00 nats, 0.300 per token   cheerful +2.00  concise -1.00" in shown
    first, second, third = engine.requests
    assert (first.guidance.weights, first.sampling.seed) == ({}, None)
    assert (second.guidance.weights, second.guidance.beta, second.sampling.seed) == (
        {"cheerful": 1, "concise": -0.5}, 2, 7,
    )  # fmt: skip
    assert SCRIPT in bytes(second.prompt_token_ids)
    assert SCRIPT not in bytes(third.prompt_token_ids)
    assert third.guidance.beta is None


async def test_the_temperature_is_the_models_until_it_is_said(backend: Backend, engine: FakeEngine) -> None:
    engine._info = replace(engine.info, sampling_defaults={"temperature": 0.6, "top_k": 20})
    await converse(backend, "hi", "/temperature 0", "hi", "/temperature auto", "hi", "/temperature 3")
    assert [request.sampling.temperature for request in engine.requests] == [0.6, 0, 0.6]
    assert {request.sampling.top_k for request in engine.requests} == {20}


async def test_mistakes_are_told_and_the_talk_goes_on(backend: Backend, engine: FakeEngine) -> None:
    shown = await converse(
        backend,
        "/weights cheery=1",
        "/weights x",
        "/beta lots",
        "/seed 1.5",
        "/temperature hot",
        "/dance",
        "x" * 500,
        "/objectives",
        "/help",
        "hi",
    )
    complaints = ("unknown objective 'cheery'", "not name=number", "beta='lots'", "seed='1.5'", "temperature='hot'")
    for complaint in (*complaints, "/dance", "tokens"):
        assert complaint in shown
    assert "how concise it is" in shown
    assert SCRIPT.decode() in shown
    assert len(engine.requests) == 1


async def test_no_server() -> None:
    assert "no answer from" in await converse(HttpBackend("http://127.0.0.1:1"), "hi")
