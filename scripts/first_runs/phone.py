"""A phone in the same network: the README's line that lets others in, and the page by touch alone.

The page is opened by this machine's own address where it has one, as a phone has to: a browser gives a page from there
less than one from 127.0.0.1 (no clipboard, say), and the server has to know the name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scripts.chromium import CHROMIUM, FLAGS
from scripts.first_runs.newcomer import Newcomer

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
}
KEY = "a-key-of-this-run"
SLIDER = "cheerful"
PATIENCE_MS = 60_000


def run(newcomer: Newcomer) -> None:
    from playwright.sync_api import sync_playwright

    serving = newcomer.page("README.md").command(r"--host 0\.0\.0\.0")
    newcomer.expects(CHROMIUM, "opening the page", "there is no Chromium on this machine")
    newcomer.variables = newcomer.environment.variables(newcomer.home) | {"MAVIS_API_KEY": KEY}
    with newcomer.serves(serving, newcomer.home) as said, sync_playwright() as playwright:
        newcomer.pastes(said, newcomer.home)  # whoever started it looks first
        network = re.search(r"from other devices: (http://\S+/)", said)
        newcomer.expects(network, serving, f"it does not say which address to open on a phone: {said}")
        assert network is not None
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(**PHONE).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: newcomer.listen("the page", f"script error: {error}"))
        page.goto(network[1])
        by_touch(newcomer, page)
        browser.close()


def by_touch(newcomer: Newcomer, page: Page) -> None:
    dialog = page.get_by_role("dialog", name="API key")
    dialog.locator("input").tap()
    page.keyboard.type(KEY)
    dialog.get_by_role("button", name="Use key").tap()
    page.wait_for_selector("#state[data-state=ready]")
    page.wait_for_selector("#view-chat .answer[data-state=done] >> nth=1")  # the example: one question, two answers
    page.get_by_role("button", name="Steer", exact=True).tap()
    slider = page.get_by_role("slider", name=SLIDER)
    before = slider.get_attribute("aria-valuenow")
    drag(page, slider, 40)
    now = slider.get_attribute("aria-valuenow")
    newcomer.expects(now != before and float(now or 0) > 0, "dragging a slider", f"it went from {before} to {now}")
    page.get_by_role("button", name="Done").tap()
    page.locator("#prompt").tap()
    page.keyboard.type("Did you sleep well?")
    page.get_by_role("button", name="Send").tap()
    answer = page.locator(".transcript .answer[data-state=done]")
    strength = answer.locator(".strength")
    strength.wait_for()
    said = str(answer.locator(".answer-text").text_content()).strip()
    newcomer.expects(said, "sending", "the answer is empty")
    newcomer.expects(
        "not" not in str(strength.text_content()).lower(), "sending", f"it says {strength.text_content()!r}"
    )
    troubles = page.get_by_role("alert").all_text_contents()
    newcomer.expects(not troubles, "reading the answer", f"the page says {troubles}")
    width = page.evaluate("document.documentElement.scrollWidth")
    newcomer.expects(width <= PHONE["viewport"]["width"], "reading the answer", f"the page is {width} px wide")
    newcomer.succeeds(f"{SLIDER} {now} by touch, {strength.text_content()!r}: {said!r}")


def drag(page: Page, slider: Locator, pixels: float) -> None:
    """One finger, from the slider's thumb to the right."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger = page.context.new_cdp_session(page)
    for kind, at in (("touchStart", 0), ("touchMove", 0.3), ("touchMove", 0.7), ("touchMove", 1), ("touchEnd", None)):
        points = [] if at is None else [{"x": x + at * pixels, "y": y}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
