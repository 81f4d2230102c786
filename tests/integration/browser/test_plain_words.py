"""Words before numbers: how strongly an answer was steered, what labels mean, how far sliders go, what is invalid."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.integration.browser.conftest import OpenPage, ask, offering, ready
from tests.integration.browser.test_page import DONE, answer_to, sent
from tests.integration.conftest import Served

CLEARLY, STRONGLY = 0.1, 0.4  # nats of steering per token, as docs/playground.md has them


def test_a_word_opens_the_numbers(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=7&n=24&w=cheerful:3"))
    bodies = sent(page)
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    choice = answer_to(served, {**bodies[0], "stream": False})
    guidance = choice["guidance"]
    nats = guidance["steering_nats"] / (guidance["kl_nats"] / guidance["kl_per_token"])
    word = "gently" if nats < CLEARLY else "clearly" if nats < STRONGLY else "strongly"
    assert nats > CLEARLY
    strength = page.get_by_role("button", name=f"{word} steered")
    numbers = page.locator("#view-chat .numbers").first
    expect(numbers).to_be_hidden()
    strength.click()
    expect(strength).to_have_attribute("aria-expanded", "true")
    expect(numbers).to_contain_text(f"KL per token{guidance['kl_per_token']:.3f}")
    expect(numbers).to_contain_text(f"truncation{guidance['truncation_nats']:.2f} nats")
    page.get_by_role("button", name="Reset", exact=True).click()
    ask(page, "And yours?")
    expect(page.locator(DONE)).to_have_count(2)
    expect(page.locator("#view-chat .strength").last).to_be_hidden()
    expect(page.locator("#view-chat .numbers").last).to_be_hidden()


@pytest.mark.parametrize(("nats", "word"), [(0.09, "gently"), (0.1, "clearly"), (0.39, "clearly"), (0.4, "strongly")])
def test_thresholds(served: Served, open_page: OpenPage, nats: float, word: str) -> None:
    page = open_page(f"{served.url}/playground/favicon.svg")
    code = 'async (nats) => (await import("/playground/app/explain/strength.js")).strengthOf(nats)'
    assert page.evaluate(code, nats) == f"{word} steered"


def unexplained(page: Page) -> list[str]:
    """Labels in sight that no hint stands beside."""
    found = page.evaluate(
        """() => [...document.querySelectorAll(".label label, .readout dt, .section-head h2, summary, .legend")]
            .filter((label) => label.checkVisibility())
            .filter((label) => !label.querySelector(".hint") && !label.parentElement.querySelector(".hint")
                && !label.parentElement.parentElement.querySelector(":scope > .hint"))
            .map((label) => label.textContent)"""
    )
    return [text for text in found if text != "stopped"]


def test_every_label_is_explained_to_the_keyboard_too(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=7&n=12&w=cheerful:1"))
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    page.locator("#view-chat .strength").click()
    tip = page.locator("#hint-tip")
    seen: set[str] = set()
    for view in ("Chat", "Trade-off"):
        page.get_by_role("tab", name=view).click()
        assert unexplained(page) == []
        for button in page.locator(".hint:visible").all():
            button.focus()
            expect(tip).to_be_visible()
            text = str(tip.text_content())
            assert len(text) > 25
            seen.add(text)
    assert len(seen) > 15
    for word in ("volume knob", "leaving out the least likely words", "choice of words was moved"):
        assert any(word in text for text in seen), word
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.locator(".sweep-fields .hint").first.hover()
    expect(tip).to_be_visible()


def ends(slider: Locator) -> list[float]:
    return [float(slider.get_attribute(f"aria-value{end}") or "nan") for end in ("min", "max")]


def test_sliders_are_short_and_plain_until_the_expert_asks(served: Served, open_page: OpenPage) -> None:
    listed = {each["name"]: each for each in httpx.get(f"{served.url}/v1/objectives").json()["data"]}
    page = ready(open_page(f"{served.url}/#w=curious:9"))
    cheerful, curious = (page.get_by_role("slider", name=name) for name in ("cheerful", "curious"))
    assert ends(cheerful) == [-3, 3]
    assert ends(curious) == listed["curious"]["weight_range"], "a weight beyond them is shown where it is"
    expect(curious).to_have_attribute("aria-valuenow", "9")
    formula = listed["concise"]["description"]
    assert "/ 20" in formula
    expect(page.get_by_text("few words", exact=True)).to_be_visible()
    page.locator("#expert").check()
    assert ends(cheerful) == listed["cheerful"]["weight_range"]
    expect(page.locator("#panel").get_by_text(formula)).to_be_visible()
    expect(curious).to_have_attribute("aria-valuenow", "9")
    page.reload()
    ready(page)
    assert ends(cheerful) == listed["cheerful"]["weight_range"], "kept in this browser"


def test_bounds_of_the_operator(served: Served, open_page: OpenPage) -> None:
    def bound(card: dict[str, Any]) -> dict[str, Any]:
        ranges = {"cheerful": [0.5, 0.5], "concise": [-1, 2], "curious": [5, 8], "factual": [0, 0]}
        return card | {"weight_range": ranges[card["name"]]}

    page = ready(offering(open_page(f"{served.url}/#w=concise:1&n=4"), served, bound))
    cheerful = page.get_by_role("slider", name="cheerful")
    assert ends(cheerful) == [0.5, 0.5]
    expect(cheerful).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#panel").get_by_text("Held at 0.5: this server allows no other weight.")).to_be_visible()
    expect(page.locator("#panel").get_by_text("Held at 0: this server allows no other weight.")).to_be_visible()
    at = cheerful.evaluate("thumb => getComputedStyle(thumb.getRootNode().host).getPropertyValue('--at')")
    assert float(at) == 0.5
    assert ends(page.get_by_role("slider", name="concise")) == [-1, 2]
    assert ends(page.get_by_role("slider", name="curious")) == [5, 8]
    bodies = sent(page)
    page.get_by_role("slider", name="concise").press("ArrowRight")
    ask(page, "Hello")
    assert bodies[0]["objective_weights"] == {"cheerful": 0.5, "concise": 1.1, "curious": 5, "factual": 0}


def test_an_invalid_number_is_said(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#t=0.5&n=4&w=cheerful:1"))
    field = page.locator("#field-temperature")
    field.fill("9")
    said = page.locator("#field-temperature-wrong")
    expect(said).to_have_text("From 0 to 2. Still 0.5.")
    expect(field).to_have_attribute("aria-describedby", "field-temperature-wrong")
    expect(page.locator("#announcer")).to_have_text("From 0 to 2. Still 0.5.")
    page.fill("#field-seed", "1.5")
    expect(page.locator("#field-seed-wrong")).to_have_text("A whole number, please. Still random.")
    bodies = sent(page)
    ask(page, "Hello")
    expect(page.locator(DONE)).to_have_count(1)
    assert bodies[0]["temperature"] == 0.5
    expect(said).to_be_visible()
    field.fill("0.7")
    expect(said).to_have_count(0)
    exact = page.get_by_role("spinbutton", name="cheerful, exact weight")
    exact.fill("20")
    exact.press("Enter")
    expect(page.locator("#panel").get_by_text("20 is out of range: −3 to 3 here.")).to_be_visible()
    expect(page.get_by_role("slider", name="cheerful")).to_have_attribute("aria-valuenow", "3")
    page.get_by_role("tab", name="Trade-off").click()
    page.fill("#sweep-points", "99")
    expect(page.locator("#sweep-points-wrong")).to_have_text("From 2 to 21. Still 5.")
