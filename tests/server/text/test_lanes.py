"""Long texts wait for one another, never for nobody, and never in front of shorter ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from server.app import create_app
from server.errors import TextsWaitingError
from server.settings import Settings
from server.text import lanes as text_lanes
from server.text.lanes import Lane
from tests.server.conftest import USER
from tests.server.fake_engine import FakeEngine, FakeTokenizer

PAGE = "a" * 20_000
BOOK = "b" * 200_000


class HeldTokenizer(FakeTokenizer):
    """Long texts take until ``gate`` opens; knows which it began."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.begun: list[str] = []
        self.rendered_on: set[str] = set()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        if len(text) >= text_lanes.SHORT:
            self.begun.append(text[0])
        if text[0] == "b":
            assert self.gate.wait(60)
        return super().encode(text, add_special_tokens=add_special_tokens)

    def apply_chat_template(self, conversation: list[dict[str, Any]], **kwargs: Any) -> str:
        self.rendered_on.add(threading.current_thread().name)
        return super().apply_chat_template(conversation, **kwargs)


@pytest.fixture
def tokenizer() -> Iterator[HeldTokenizer]:
    held = HeldTokenizer()
    yield held
    held.gate.set()


@asynccontextmanager
async def served(tokenizer: HeldTokenizer, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    engine = FakeEngine(max_model_len=1_000_000)
    app = create_app(
        Settings(database=SecretStr("sqlite://"), allowed_hosts=("*",), **settings), engine, lambda: tokenizer
    )
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            yield client


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def test_books_hold_up_no_page_and_are_bounded(tokenizer: HeldTokenizer) -> None:
    async with served(tokenizer) as client:
        books = [asyncio.create_task(client.post("/tokenize", json={"prompt": BOOK})) for _ in range(9)]
        await until(lambda: tokenizer.begun == ["b"])
        body = {"messages": [{"role": "user", "content": PAGE}], "max_tokens": 3}
        answer = await client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200
        assert (await client.post("/v1/completions", json={"prompt": [PAGE, "x"], "max_tokens": 3})).is_success
        refused = await client.post("/tokenize", json={"prompt": BOOK})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert int(refused.headers["retry-after"]) > 0
        tokenizer.gate.set()
        assert [len(book.json()["tokens"]) for book in await asyncio.gather(*books)] == [len(BOOK)] * 9
        assert (await client.post("/tokenize", json={"prompt": BOOK})).is_success


async def test_what_waits_for_a_client_that_left_never_begins(tokenizer: HeldTokenizer) -> None:
    """A client's leaving is a message, which a real server's ``receive`` gives."""
    engine = FakeEngine()
    app = create_app(Settings(database=SecretStr("sqlite://"), allowed_hosts=("*",)), engine, lambda: tokenizer)
    body = b'{"prompt": "%s"}' % BOOK.encode()
    headers = [(b"content-type", b"application/json")]

    async def post(left: asyncio.Event) -> int:
        statuses: list[int] = []
        messages: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {"type": "http", "method": "POST", "path": "/tokenize", "raw_path": b"/tokenize", "query_string": b""}
        await app({**scope, "headers": headers, "client": None, "server": None, "scheme": "http"}, receive, send)
        return statuses[0]

    async with app.router.lifespan_context(app):
        stays, leaves = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(post(stays))
        await until(lambda: tokenizer.begun == ["b"])
        others = [asyncio.create_task(post(leaves)) for _ in range(8)]
        await until(lambda: app.state.service.prompts._lanes._long._waiting == 8)
        leaves.set()
        assert await asyncio.gather(*others) == [499] * 8
        tokenizer.gate.set()
        assert await first == 200
        assert await post(stays) == 200
        assert tokenizer.begun == ["b"] * 2


async def test_a_long_conversation_is_rendered_off_the_loop(tokenizer: HeldTokenizer) -> None:
    async with served(tokenizer) as client:
        await client.post("/tokenize", json={"messages": USER})
        assert tokenizer.rendered_on == {"MainThread"}
        await client.post("/tokenize", json={"messages": [{"role": "user", "content": ""}] * 1000})
        assert tokenizer.rendered_on - {"MainThread"}


async def test_many_short_prompts_are_a_long_text(tokenizer: HeldTokenizer) -> None:
    tokenizer.gate.set()
    async with served(tokenizer) as client:
        await client.post("/v1/completions", json={"prompt": ["c" * 100] * 3, "max_tokens": 1})
        assert not threading_names("text")
        await client.post("/v1/completions", json={"prompt": ["c" * 1000] * 100, "max_tokens": 1})
        assert threading_names("text")


def threading_names(beginning: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(beginning)]


@pytest.mark.parametrize(("path", "body"), [("/tokenize", {"prompt": "x"}), ("/detokenize", {"tokens": [65]})])
async def test_they_count_as_requests_of_their_key(tokenizer: HeldTokenizer, path: str, body: Any) -> None:
    async with served(tokenizer, requests_per_minute=2) as client:
        statuses = [(await client.post(path, json=body)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]


async def test_a_thread_is_free_only_when_its_work_is_done() -> None:
    """Whoever leaves in the middle of it does not let the next one in."""
    gate, lane, began = threading.Event(), Lane("held", 1), list[int]()

    def work(number: int) -> int:
        began.append(number)
        assert gate.wait(60)
        return number

    try:
        left = asyncio.create_task(lane.run(lambda: work(1)))
        await until(lambda: began == [1])
        left.cancel()
        waits = asyncio.create_task(lane.run(lambda: work(2)))
        await asyncio.sleep(0.05)
        with pytest.raises(TextsWaitingError, match="1 long texts wait"):
            await lane.run(lambda: work(3))
        assert began == [1]
        gate.set()
        assert await waits == 2
        with pytest.raises(ZeroDivisionError):
            await lane.run(lambda: 1 // 0)
        assert await lane.run(lambda: work(4)) == 4
    finally:
        gate.set()
        lane.close()
