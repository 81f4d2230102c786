"""Small screens: settings as a sheet that leaves the answer in sight, a table whole, columns that are announced."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.integration.browser.conftest import OpenPage, ask, ready
from tests.integration.browser.test_page import DONE
from tests.integration.conftest import Served


def box(locator: Locator) -> Any:
    found = locator.bounding_box()
    assert found is not None
    return found


def test_the_sheet_leaves_the_answer_in_sight(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#n=24&seed=2&w=cheerful:1", width=390, height=800))
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    opener, panel = page.get_by_role("button", name="Steer", exact=True), page.locator("#panel")
    opener.click()
    expect(opener).to_have_attribute("aria-expanded", "true")
    sheet, head = box(panel), box(page.locator("header"))
    assert sheet["y"] + sheet["height"] == 800
    assert sheet["height"] <= 400
    page.locator(".answer-text").first.scroll_into_view_if_needed()
    answer = box(page.locator("#view-chat .answer-text").first)
    assert head["y"] + head["height"] <= answer["y"] < sheet["y"] - 40
    page.locator("#field-seed").scroll_into_view_if_needed()
    expect(page.get_by_role("button", name="Done")).to_be_in_viewport()
    page.locator("#field-seed").press("Escape")
    expect(panel).to_be_hidden()
    expect(opener).to_be_focused()
    opener.click()
    page.get_by_role("button", name="Done").click()
    expect(panel).to_be_hidden()


def test_the_table_is_whole(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#v=sweep&n=8&seed=5&s=cheerful,curious,2,2,2", width=360, height=740))
    page.get_by_role("button", name="Draw").click()
    expect(page.locator(".chart .sample")).to_have_count(6)
    expect(page.locator("#view-sweep .stop")).to_be_hidden()
    wrap = page.locator(".table-wrap")
    assert wrap.evaluate("wrap => wrap.scrollWidth <= wrap.clientWidth")
    expect(page.get_by_role("cell")).to_have_count(15)
    assert page.get_by_role("columnheader").all_text_contents()[1] == "cheerful"
    assert page.locator(".chart text").first.evaluate("t => t.getBoundingClientRect().height") > 10


def in_sight(page: Page, letter: str) -> bool:
    foot = box(page.get_by_role("region", name=f"Column {letter}").locator(".column-foot"))
    return bool(foot["y"] < page.evaluate("innerHeight") - 48)


def test_columns_below_are_announced(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#v=compare&n=4&seed=3&c=&c=cheerful:1", width=390, height=800))
    below = page.locator(".below")
    expect(below).to_have_text("↓ Answer B below")
    assert in_sight(page, "A") and not in_sight(page, "B")
    page.get_by_role("button", name="Add column").click()
    expect(below).to_have_text("↓ Answers B, C below")
    expect(below).to_be_in_viewport(ratio=1)
    third = page.get_by_role("region", name="Column C")
    expect(third).to_contain_text("Nothing yet: set the weights, then compare.")
    expect(third.get_by_role("slider", name="cheerful")).to_have_attribute("aria-valuenow", "0")
    below.click()
    expect(below).to_be_hidden()
    assert in_sight(page, "B") and in_sight(page, "C")
    page.locator("#view-compare").get_by_role("button", name="Compare").click()
    expect(page.locator(f".column {DONE}")).to_have_count(3)
    expect(third).not_to_contain_text("Nothing yet", use_inner_text=True)


def test_four_columns_stand_side_by_side_on_a_screen(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#v=compare&c=&c=cheerful:1&c=&c=", width=1440, height=900))
    expect(page.locator(".column")).to_have_count(4)
    assert len({box(column)["y"] for column in page.locator(".column").all()}) == 1
    expect(page.locator(".below")).to_be_hidden()
