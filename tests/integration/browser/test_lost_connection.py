"""A server that is killed in the middle of an answer, comes back, and loads; and one that wants a key."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.integration.browser.conftest import OpenPage, ask, endless, ready
from tests.integration.conftest import Served
from tests.server.conftest import Live, serve
from tests.server.fake_engine import FakeEngine

__all__ = ["serve"]


def test_a_server_killed_in_the_middle(start_server: Callable[..., Served], open_page: OpenPage) -> None:
    served = start_server()
    page = ready(open_page(f"{served.url}/#w=cheerful:1"))
    endless(page)
    ask(page, "Tell me everything.")
    expect(page.locator(".token").nth(5)).to_be_attached()
    served.process.kill()
    answer = page.locator("#view-chat .answer")
    expect(answer).to_have_attribute("data-state", "failed")
    kept = answer.locator(".answer-text").text_content()
    assert kept and kept.strip()
    expect(page.get_by_role("alert")).to_contain_text("Connection lost")
    expect(page.get_by_role("alert")).to_contain_text("kept above")
    expect(page.locator("#state")).to_have_text("no connection")
    expect(page.locator("#notice")).to_contain_text("tries again every second")
    assert answer.locator(".answer-text").text_content() == kept

    port = str(urlsplit(served.url).port)
    command = [sys.executable, "-m", "server", "serve", "--port", port, "--log-level", "error"]
    again = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        expect(page.locator("#state")).to_have_text("model loading", timeout=60_000)
        expect(page.locator("#notice")).to_contain_text("The model is loading")
        expect(page.locator("#state")).to_have_attribute("data-state", "ready", timeout=60_000)
        expect(page.locator("#notice")).to_be_hidden()
        expect(page.get_by_role("slider", name="cheerful")).to_have_attribute("aria-valuenow", "1")
        page.unroute_all()
        page.fill("#field-maxTokens", "10")
        page.get_by_role("button", name="Try again").click()
        expect(answer).to_have_attribute("data-state", "done")
    finally:
        again.kill()
        again.wait(30)


def test_an_api_key_is_asked_for_and_kept_in_the_tab(serve: Callable[..., Live], open_page: OpenPage) -> None:
    live = serve(FakeEngine(), api_key="right")
    page = open_page(live.url)
    dialog = page.get_by_role("dialog", name="API key")
    expect(dialog).to_contain_text("only with an API key")
    dialog.locator("input").fill("wrong")
    dialog.get_by_role("button", name="Use key").click()
    expect(dialog).to_contain_text("does not accept that key")
    dialog.locator("input").fill("right")
    page.keyboard.press("Enter")
    ready(page)
    ask(page, "hi")
    expect(page.locator("#view-chat .answer")).to_have_attribute("data-state", "done")
    assert "right" not in page.url
    assert "right" not in page.evaluate("JSON.stringify(localStorage)")
    page.reload()
    ready(page)
    page.get_by_role("button", name="Code").click()
    expect(page.locator("dialog code")).to_contain_text("Authorization: Bearer $MAVIS_API_KEY")
    expect(page.locator("dialog code")).not_to_contain_text("right")
