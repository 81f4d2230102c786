"""axe finds nothing, in light and dark, from a phone to a wide screen, in every view and state; nothing spills."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.integration.browser.conftest import OpenPage, ask, ready
from tests.integration.conftest import Served

SPILLING = """() => [...document.querySelectorAll(".view, .panel, .table-wrap")]
    .filter((element) => element.scrollWidth > element.clientWidth).map((element) => element.outerHTML.slice(0, 80))"""


def check(page: Page, state: str) -> None:
    found = Axe().run(page).response["violations"]
    named = [(violation["id"], [node["html"][:200] for node in violation["nodes"]]) for violation in found]
    assert not named, state


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
def test_axe(served: Served, open_page: OpenPage, scheme: str, width: int) -> None:
    start = f"{served.url}/#w=cheerful:2,concise:-1&seed=1&n=24&s=cheerful,concise,2,1,1"
    page = ready(open_page(start, width=width, scheme=scheme))
    if width < 960:
        page.get_by_role("button", name="Steer", exact=True).click()
    check(page, "empty")
    if width < 960:
        page.get_by_role("button", name="Done").click()
    ask(page, "How was your day?")
    expect(page.locator("#view-chat .answer")).to_have_attribute("data-state", "done")
    page.locator(".token").nth(2).hover()
    check(page, "answered, with a token's card")
    if width < 960:
        page.get_by_role("button", name="Steer", exact=True).click()
    page.locator("#system-details summary").click()
    page.fill("#system", "a long story " * 1_000)
    page.get_by_role("button", name="Regenerate").click()
    expect(page.get_by_role("alert")).to_be_visible()
    check(page, "an error")
    page.fill("#system", "")
    page.get_by_role("tab", name="Compare").click()
    page.locator("#view-compare").get_by_role("button", name="Compare").click()
    expect(page.locator(".column .answer[data-state=done]")).to_have_count(2)
    check(page, "compare")
    page.get_by_role("tab", name="Trade-off").click()
    page.get_by_role("button", name="Draw").click()
    expect(page.locator(".chart .sample")).to_have_count(3)
    expect(page.locator("#view-sweep .stop")).to_be_hidden()
    check(page, "trade-off")
    page.get_by_role("button", name="Code").click()
    check(page, "code")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_at_every_width(served: Served, open_page: OpenPage, scheme: str) -> None:
    page = ready(open_page(f"{served.url}/#w=cheerful:1&seed=1&n=8&s=cheerful,concise,2,2,1", scheme=scheme))
    ask(page, "How was your day?")
    expect(page.locator("#view-chat .answer")).to_have_attribute("data-state", "done")
    page.locator("#view-chat .strength").click()
    for width in (360, 390, 768, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        for view in ("Chat", "Compare", "Trade-off"):
            page.get_by_role("tab", name=view).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (view, width)
            assert page.evaluate(SPILLING) == [], (view, width)
            check(page, f"{view}, {width} px")
