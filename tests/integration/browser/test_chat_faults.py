"""What once went wrong in the chat: a refused message, a long answer, labels, links, presets of another model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Route, expect

from tests.integration.browser.conftest import OpenPage, answers, ask, endless, ready
from tests.integration.browser.test_page import DONE, sent
from tests.integration.conftest import Served


def test_a_refused_message_does_not_poison_the_chat(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#n=8"))
    bodies = sent(page)
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    page.fill("#prompt", "a long story " * 1_000)
    page.press("#prompt", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("The server refused this request")
    ask(page, "And yours?")
    expect(page.locator(DONE)).to_have_count(2)
    said = [message["content"] for message in bodies[2]["messages"] if message["role"] == "user"]
    assert said == ["How was your day?", "And yours?"]


def test_long_texts_are_followed_until_one_scrolls_away(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=2&w=cheerful:1", height=420))
    scroller = page.locator(".scroll")
    rest = "e => Math.round(e.scrollHeight - e.scrollTop - e.clientHeight)"

    def until(wanted: Callable[[int], bool]) -> None:
        for _ in range(100):  # not by a predicate in the page: its content policy knows no eval
            if wanted(scroller.evaluate(rest)):
                return
            page.wait_for_timeout(50)
        raise AssertionError(f"{scroller.evaluate(rest)} pixels below")

    answers(page, "\n\n".join(f"Line {i}" for i in range(60)))
    ask(page, "word " * 300)
    expect(page.locator(DONE)).to_have_count(1)
    until(lambda below: below < 2)
    page.unroute_all()
    endless(page)
    ask(page, "Tell me everything.")
    token = page.locator(".turn").last.locator(".token")
    expect(token.nth(5)).to_be_attached()
    expect(page.locator(".turn").last.locator(".who")).to_have_text("Writing · cheerful +1")
    scroller.hover()
    page.mouse.wheel(0, -900)
    until(lambda below: below > 300)
    seen = token.count()
    expect(token.nth(seen + 10)).to_be_attached()
    assert scroller.evaluate(rest) > 300, "who has scrolled away is not pulled back"
    page.get_by_role("button", name="Stop").click()
    served.wait_idle()


def test_the_label_says_the_weights_in_force_and_the_card_goes(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#w=cheerful:1&n=8&seed=1"))
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    page.locator(".token").nth(2).hover()
    expect(page.get_by_role("tooltip")).to_be_visible()
    endless(page)
    page.keyboard.press("/")
    page.keyboard.type("Go on.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tooltip")).to_be_hidden()
    who = page.locator(".turn").last.locator(".who")
    expect(who).to_have_text("Writing · cheerful +1")
    page.get_by_role("slider", name="cheerful").press("PageUp")
    expect(who).to_have_text("Writing · cheerful +2")
    page.get_by_role("button", name="Stop").click()
    served.wait_idle()
    expect(who).to_have_text("cheerful +2")


def test_a_link_has_the_seed_of_the_answer_and_code_only_what_steers(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#w=cheerful:1&n=8"))
    bodies = sent(page)
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    page.get_by_role("button", name="Share").click()
    expect(page).to_have_url(re.compile(rf"[#&]seed={bodies[0]['seed']}\b"))
    expect(page.locator("#field-seed")).to_have_value("")
    page.get_by_role("button", name="Code").click()
    expect(page.locator("dialog code")).to_contain_text('"cheerful": 1')
    expect(page.locator("dialog code")).not_to_contain_text("curious")


def test_presets_of_another_model_cannot_be_chosen(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=1"))

    def listed(route: Route) -> None:
        names = ("mavis-small", "mavis-small:sunny", "other", "other:cloudy")
        route.fulfill(json={"object": "list", "data": [{"id": n, "root": "r", "max_model_len": 9} for n in names]})

    page.route("**/v1/models", listed)
    presets: list[dict[str, Any]] = [
        {"name": "here", "weights": {"cheerful": 1}, "beta": None, "maxKl": None},
        {"name": "elsewhere", "weights": {"gallant": 1}, "beta": None, "maxKl": None},
        {"name": "too far", "weights": {"cheerful": 99}, "beta": None, "maxKl": None},
        {"name": "own words", "weights": {"pirate": 2}, "words": {"pirate": "Arr."}, "beta": None, "maxKl": None},
    ]
    page.evaluate("text => localStorage.setItem('mavis.presets', text)", json.dumps(presets))
    page.reload()
    ready(page)
    chips = page.locator("#presets .chip .button:first-child")
    expect(chips).to_have_text(["sunny", "here", "elsewhere", "too far", "own words"])
    assert [chip.is_enabled() for chip in chips.all()] == [True, True, False, False, True]
