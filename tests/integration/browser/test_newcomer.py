"""The newcomer's run on a model that nobody has seen, whose chat template knows no system role."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from scripts.newcomer import NAME, by_client, faults, on_the_page
from server.objectives.declared import Declared
from tests.integration.browser.conftest import OpenPage
from tests.integration.conftest import Served
from tests.server.test_model_folders import NO_SYSTEM, save


def test_a_model_that_is_served_for_the_first_time(
    start_server: Callable[..., Served], open_page: OpenPage, tmp_path: Path
) -> None:
    save(tmp_path, "gemma3", NO_SYSTEM, True)
    served = start_server("--model", str(tmp_path), "--device", "cpu")
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
