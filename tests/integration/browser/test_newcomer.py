"""The newcomer's run on a model that nobody has seen, steered by words alone, whose template knows no system role."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from scripts.newcomer import NAME, by_client, faults, on_the_page
from server.objectives.declared import Declared
from tests.integration.browser.conftest import OpenPage, plain, ready
from tests.integration.browser.test_page import DONE, answer_to, sent
from tests.integration.conftest import Served
from tests.server.test_model_folders import NO_SYSTEM, save


def test_a_model_that_is_served_for_the_first_time(
    start_server: Callable[..., Served], open_page: OpenPage, tmp_path: Path
) -> None:
    save(tmp_path, "gemma3", NO_SYSTEM, True)
    served = start_server("--model", str(tmp_path), "--device", "cpu")
    first_screen(open_page(f"{served.url}/playground/favicon.svg"), served)
    page = open_page(f"{served.url}/playground/favicon.svg")
    seen = on_the_page(page, served.url)
    assert seen.sliders == list(Declared.read(("shipped",), False).shipped)
    assert faults(seen, by_client(served.url)) == []
    card = page.locator("#token-card")
    expect(card.locator("dt", has_text=NAME)).to_be_visible()
    expect(card).to_contain_text("nats")
    expect(card).not_to_contain_text("std devs")
    page.get_by_role("tab", name="Trade-off").click()
    page.fill("#sweep-points", "2")
    page.fill("#sweep-samples", "1")
    page.get_by_role("button", name="Draw").click()
    expect(page.locator(".chart .sample")).to_have_count(3)
    expect(page.locator("figcaption")).to_contain_text("in nats by which the model that is told prefers a token;")
    expect(page.locator(".axis-label").first).to_have_text("cheerful (nats)")


def first_screen(page: Page, served: Served) -> None:
    """One question answered twice, the second time as an objective in words has it, whose slider is pulled already."""
    bodies = sent(page)
    page.goto(served.url)
    ready(page)
    pair = page.get_by_role("region", name="The same question")
    expect(pair.locator(DONE)).to_have_count(2)
    expect(pair.locator(".said")).to_have_text("What is the moon?")
    expect(pair.get_by_role("heading")).to_have_text(["Not steered", "cheerful +1"])
    expect(page.get_by_role("slider", name="cheerful")).to_have_attribute("aria-valuenow", "1")
    base, steered = sorted(bodies, key=lambda body: len(body["objective_weights"]))
    assert base["objective_weights"] == {} and steered["objective_weights"]["cheerful"] == 1
    assert base["seed"] == steered["seed"] and base["messages"] == steered["messages"]
    answers = [answer_to(served, {**body, "stream": False}) for body in (base, steered)]
    shown = [plain(each) for each in pair.locator(".answer-text").all_text_contents()]
    assert shown == [plain(answer["message"]["content"]) for answer in answers]
    assert answers[1]["guidance"]["companion_tokens"] > 0, "steered by words"
