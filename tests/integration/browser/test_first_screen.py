"""What somebody sees who opens the page for the first time: one question answered twice, the slider already pulled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.integration.browser.conftest import OpenPage, plain, ready
from tests.integration.browser.test_accessibility import check
from tests.integration.browser.test_page import DONE, answer_to, sent
from tests.integration.conftest import Served
from tests.server.conftest import Live, serve
from tests.server.fake_engine import FakeEngine

__all__ = ["serve"]


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_two_answers_to_one_question(served: Served, open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(f"{served.url}/playground/favicon.svg", width=width, scheme=scheme)
    bodies = sent(page)
    page.goto(served.url)
    ready(page)
    pair = page.get_by_role("region", name="The same question")
    expect(pair.locator(DONE)).to_have_count(2)
    base, steered = sorted(bodies, key=lambda body: len(body["objective_weights"]))
    assert base["objective_weights"] == {}
    assert {name: weight for name, weight in steered["objective_weights"].items() if weight} == {"cheerful": 2}
    assert base["seed"] == steered["seed"] and base["messages"] == steered["messages"]
    assert max(base["max_tokens"], steered["max_tokens"]) < 50
    texts = [plain(each) for each in pair.locator(".answer-text").all_text_contents()]
    assert texts == [plain(answer_to(served, {**b, "stream": False})["message"]["content"]) for b in (base, steered)]
    assert texts[0] != texts[1]
    expect(pair.get_by_role("heading")).to_have_text(["Not steered", "cheerful +2"])
    check(page, "the first screen")
    if width < 960:
        return
    slider = page.get_by_role("slider", name="cheerful")
    expect(slider).to_have_attribute("aria-valuenow", "2")
    for _ in range(4):
        slider.press("PageDown")
    assert len(bodies) == 2, "nothing is sent unasked"
    pair.get_by_role("button", name="Answer again with cheerful −2").click()
    expect(pair.get_by_role("heading").nth(1)).to_have_text("cheerful −2")
    expect(pair.locator(DONE)).to_have_count(2)
    assert bodies[2] == steered | {"objective_weights": steered["objective_weights"] | {"cheerful": -2}}


def test_a_suggestion_sets_the_weights_that_it_names(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#n=8"))
    bodies = sent(page)
    expect(page.get_by_role("button", name="Show an example")).to_be_visible()
    page.get_by_role("button", name="with curious +1.5").click()
    expect(page.locator(DONE)).to_have_count(1)
    assert bodies[0]["objective_weights"] == {"cheerful": 0, "concise": 0, "curious": 1.5, "factual": 0}
    assert len(bodies) == 1, "a link is not answered with an example"
    expect(page.get_by_role("slider", name="curious")).to_have_attribute("aria-valuenow", "1.5")
    expect(page.get_by_role("heading", level=1)).to_have_text("What do you like to do on weekends?")


def test_nothing_is_sent_without_a_key_and_the_dialog_can_be_left(
    serve: Callable[..., Live], open_page: OpenPage
) -> None:
    live = serve(FakeEngine(), api_key="right")
    page = open_page(f"{live.url}/playground/favicon.svg")
    bodies = sent(page)
    page.goto(live.url)
    expect(page.get_by_role("dialog", name="API key")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="API key")).to_have_count(0)
    expect(page.locator(".objective-skeleton")).to_have_count(0)
    expect(page.locator("#weights-place")).to_contain_text("once a key is given")
    assert bodies == []
    check(page, "locked")
    page.locator("#notice").get_by_role("button", name="Enter a key").click()
    page.get_by_role("dialog", name="API key").locator("input").fill("right")
    page.keyboard.press("Enter")
    ready(page)
    expect(page.get_by_role("region", name="The same question").locator(DONE)).to_have_count(2)
    expect(page.locator("#notice")).to_be_hidden()
