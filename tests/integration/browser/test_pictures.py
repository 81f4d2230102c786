"""The pictures of the docs: there and small; ``--write-pictures`` takes those of docs/playground.md anew.

Those are of the model that ships. ``--picture-server URL`` takes the README's alone, of a server that serves the model
of its examples; ``scripts.fetch_model`` fetches that.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.integration.browser.before_after import CHANGES
from tests.integration.browser.conftest import OpenPage, ask, ready
from tests.integration.conftest import Served

IMAGES = Path("docs/images")
WORDS = "words"
NAMES = ("playground-light", "playground-dark", "compare", "tradeoff", "tradeoff-empty", "phone", "first-screen")
LARGEST = 300_000
LARGEST_PAIR = 60_000


def chat(page: Page) -> None:
    for turn, text in enumerate(("How was your day?", "What do you like to do on weekends?")):
        ask(page, text)
        expect(page.locator("#view-chat .answer[data-state=done]")).to_have_count(turn + 1)


def take(name: str, served: Served, open_page: OpenPage) -> Page:
    steered = f"{served.url}/#w=cheerful:1.2,concise:-0.5&seed=3"
    if name == "phone":
        page = ready(open_page(steered, width=360, height=740))
        chat(page)
    elif name == "first-screen":
        page = ready(open_page(served.url))
        expect(page.locator(".pair .answer[data-state=done]")).to_have_count(2)
    elif name == "compare":
        page = ready(open_page(f"{served.url}/#v=compare&seed=3&c=&c=cheerful:1.5&c=cheerful:-1.5,curious:1"))
        page.locator("#view-compare").get_by_role("button", name="Compare").click()
        expect(page.locator(".column .answer[data-state=done]")).to_have_count(3)
    elif name == "tradeoff-empty":
        page = ready(open_page(f"{served.url}/#v=sweep&s=cheerful,concise,5,6,1.5"))
    elif name == "tradeoff":
        page = ready(open_page(f"{served.url}/#v=sweep&seed=3&s=cheerful,concise,5,6,1.5"))
        page.get_by_role("button", name="Draw").click()
        expect(page.locator(".chart .sample")).to_have_count(36)
        expect(page.locator("#view-sweep .stop")).to_be_hidden()
    else:
        page = ready(open_page(steered, scheme=name.removeprefix("playground-")))
        chat(page)
        page.locator(".token").nth(5).hover()
    return page


def take_words(url: str, open_page: OpenPage) -> Page:
    page = ready(open_page(f"{url}/#seed=1&t=0&w=concise:1,pirate:2&o=pirate:Talk+like+a+pirate."))
    for turn, text in enumerate(("How was your day?",)):
        ask(page, text)
        expect(page.locator("#view-chat .answer[data-state=done]")).to_have_count(turn + 1, timeout=300_000)
    page.locator(".token").nth(3).hover()
    return page


@pytest.mark.parametrize("name", [*NAMES, WORDS])
def test_pictures(name: str, request: pytest.FixtureRequest) -> None:
    picture, url = IMAGES / f"{name}.png", request.config.getoption("--picture-server")
    if url and name == WORDS:
        take_words(url, request.getfixturevalue("open_page")).screenshot(path=picture)
    elif request.config.getoption("--write-pictures") and name != WORDS:
        served, open_page = request.getfixturevalue("served"), request.getfixturevalue("open_page")
        IMAGES.mkdir(exist_ok=True)
        take(name, served, open_page).screenshot(path=picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < LARGEST
    page = Path("README.md" if name == WORDS else "docs/playground.md").read_text(encoding="utf-8")
    assert re.search(rf"images/{name}\.png", page)


def test_pictures_before_and_after() -> None:
    page = Path("docs/playground_before_after.md").read_text(encoding="utf-8")
    pictures = {picture.stem: picture.read_bytes() for picture in (IMAGES / "before_after").iterdir()}
    assert set(pictures) == set(CHANGES) and len(CHANGES) == 12
    for name, picture in pictures.items():
        assert picture[:4] == b"RIFF" and picture[8:12] == b"WEBP"
        assert len(picture) < LARGEST_PAIR, name
        assert f"images/before_after/{name}.webp" in page
