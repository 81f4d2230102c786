"""One Chromium for these tests, and pages that complain: of script errors, of the content policy, of other hosts.

Package scope, so that Playwright's event loop is gone before tests elsewhere start their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from scripts.chromium import CHROMIUM, FLAGS
from tests.integration.conftest import Served

SLOW_MACHINE_MS = 20_000

OpenPage = Callable[..., Page]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    expect.set_options(timeout=SLOW_MACHINE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """``open_page(url, width=1280, height=850, scheme="light")``: a page in a profile of its own."""
    wrong: list[str] = []
    contexts = []

    def open_(url: str, width: int = 1280, height: int = 850, scheme: str = "light") -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOW_MACHINE_MS)
        page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
        page.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
        page.on("request", lambda r: wrong.append(r.url) if urlsplit(r.url).netloc != urlsplit(url).netloc else None)
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong


def ready(page: Page) -> Page:
    expect(page.locator("#state")).to_have_attribute("data-state", "ready")
    return page


def ask(page: Page, text: str) -> None:
    page.fill("#prompt", text)
    page.press("#prompt", "Enter")


def plain(text: str | None) -> str:
    """Text without what Markdown makes nothing of: spaces at the ends, single line ends."""
    return " ".join((text or "").split())


def answers(page: Page, text: str, reasoning: str = "") -> None:
    """From now on every answer is ``text``, as if the server had said it."""
    deltas = [{"reasoning": reasoning}, {"content": text}]
    chunks = [{"id": "chatcmpl-1", "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))


def endless(page: Page) -> None:
    """From now on answers run into the limit: what can only be seen while they run can be seen."""

    def longer(route: Route) -> None:
        body = json.loads(route.request.post_data or "{}")
        body.pop("max_tokens", None)
        route.continue_(post_data=json.dumps(body | {"ignore_eos": True}))

    page.route("**/v1/chat/completions", longer)


def offering(page: Page, served: Served, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Page:
    """As if the server's objectives were what ``change`` makes of each; None takes one away."""
    listed = httpx.get(f"{served.url}/v1/objectives").json()
    cards = [changed for card in listed["data"] if (changed := change(card)) is not None]
    page.route("**/v1/objectives", lambda route: route.fulfill(json=listed | {"data": cards}))
    page.reload()
    return page
