"""An objective that the user describes: a slider like the others, in requests, links and presets, by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.integration.browser.conftest import OpenPage, ask, ready
from tests.integration.browser.test_accessibility import check
from tests.integration.browser.test_page import DONE, answer_to, sent
from tests.integration.conftest import Served
from tests.server.conftest import Live, serve
from tests.server.fake_engine import FakeEngine

__all__ = ["serve"]

NAME = "Answer like a pirate"


def test_an_objective_is_described_and_steers(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=1"))
    page.get_by_role("button", name="Describe an objective").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("What the model is told")).to_be_focused()
    page.keyboard.type(f"{NAME}.")
    page.keyboard.press("Enter")
    slider = page.get_by_role("slider", name=NAME, exact=True)
    expect(slider).to_be_focused()
    expect(slider).to_have_attribute("aria-valuenow", "1")
    page.keyboard.press("PageUp")
    expect(slider).to_have_attribute("aria-valuenow", "2")
    expect(page).to_have_url(re.compile(r"#.*o=Answer"))
    bodies = sent(page)
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    (body,) = bodies
    assert body["objectives"] == {NAME: f"{NAME}."}
    assert body["objective_weights"] == {"cheerful": 0, "concise": 0, "curious": 0, "factual": 0, NAME: 2}
    answer = answer_to(served, {**body, "stream": False})
    assert answer["guidance"]["companion_tokens"] > 0
    assert answer["guidance"]["values"][NAME] != 0
    expect(page.locator("#view-chat .answer-text")).to_have_text(answer["message"]["content"].strip())

    link = page.url
    page.get_by_role("button", name=f"Remove {NAME}").click()
    expect(slider).to_have_count(0)
    ask(page, "And yours?")
    expect(page.locator(DONE)).to_have_count(2)
    assert "objectives" not in bodies[-1] and bodies[-1]["objective_weights"] == {}

    again = ready(open_page(link))
    expect(again.get_by_role("slider", name=NAME, exact=True)).to_have_attribute("aria-valuenow", "2")


def test_no_button_where_a_key_may_not_describe_any(
    serve: Callable[..., Live], open_page: OpenPage, tmp_path: Path
) -> None:
    bounds = tmp_path / "bounds.yaml"
    bounds.write_text('keys: {"key 1": {own_objectives: false}}', encoding="utf-8")
    live = serve(FakeEngine(), api_key=("guest", "friend"), bounds=bounds)
    page = open_page(f"{live.url}/#seed=1&w=cheerful:1,Be+kind:1&o=Be+kind:Be+kind.")
    bodies = sent(page)
    key = page.get_by_role("dialog", name="API key").locator("input")
    opener = page.get_by_role("button", name="Describe an objective")
    key.fill("guest")
    page.keyboard.press("Enter")
    ready(page)
    expect(page.get_by_role("slider", name="cheerful")).to_be_visible()
    expect(page.get_by_role("slider", name="Be kind")).to_have_count(0)
    expect(opener).to_be_hidden()
    expect(page.locator("#described")).to_be_hidden()
    expect(page.locator("#notice")).to_contain_text("Be kind")
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    assert "objectives" not in bodies[0] and "Be kind" not in bodies[0]["objective_weights"]
    check(page, "a key without objectives of its own")
    page.evaluate("sessionStorage.setItem('mavis.key', 'friend')")
    page.reload()
    ready(page)
    expect(opener).to_be_visible()
    expect(page.get_by_role("slider", name="Be kind")).to_be_visible()
