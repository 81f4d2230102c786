"""A server with nothing to steer by: no words of steering, and views that need it say how to get it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.integration.browser.conftest import OpenPage, ask, offering, ready
from tests.integration.browser.test_page import DONE
from tests.integration.conftest import Served

STEERING = r"\b(beta|kl|shade|presets?|steer\w*|cheerful)\b"


def said_of_steering(page: Page) -> list[str]:
    return [str(word) for word in re.findall(STEERING, page.locator("body").inner_text().lower())]


def test_nothing_is_said_of_steering(served: Served, open_page: OpenPage) -> None:
    page = ready(offering(open_page(f"{served.url}/#n=8&seed=1"), served, lambda card: None))
    assert said_of_steering(page) == []
    expect(page.get_by_role("heading", name="What shall we talk about?")).to_be_visible()
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    assert said_of_steering(page) == []
    expect(page.locator("#field-temperature")).to_be_visible()
    expect(page.locator("#view-chat .readout")).to_contain_text("tokens")
    page.get_by_role("button", name="Describe an objective").click()
    page.keyboard.type("Be kind.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("slider", name="Be kind")).to_be_visible()
    expect(page.locator("#field-beta")).to_be_visible()


@pytest.mark.parametrize(
    ("view", "said", "there", "left", "then"),
    [
        ("Compare", "To compare weights takes an objective.", "There is none yet.", 0, ".column"),
        ("Trade-off", "A trade-off is between two objectives.", "There is only cheerful.", 1, ".sketch"),
    ],
)
def test_a_view_says_what_it_needs(
    served: Served, open_page: OpenPage, view: str, said: str, there: str, left: int, then: str
) -> None:
    keep = ("cheerful",)[:left]
    page = open_page(f"{served.url}/#seed=1", width=390, height=800)
    page = ready(offering(page, served, lambda card: card if card["name"] in keep else None))
    page.get_by_role("tab", name=view).click()
    expect(page.get_by_role("heading", name=said)).to_be_visible()
    expect(page.locator(".needs:visible").get_by_text(there)).to_be_visible()
    expect(page.locator(".needs:visible").get_by_text("mavis serve --objectives shipped")).to_be_visible()
    expect(page.get_by_role("button", name="Draw")).to_be_hidden()
    expect(page.get_by_role("button", name="Add column")).to_be_hidden()
    page.locator(".needs:visible").get_by_role("button", name="Describe one now").click()
    expect(page.get_by_label("What the model is told")).to_be_focused()
    page.keyboard.type("Be kind.")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Done").click()
    page.get_by_role("tab", name=view).click()
    expect(page.get_by_role("heading", name=said)).to_be_hidden()
    expect(page.locator(then).first).to_be_visible()
