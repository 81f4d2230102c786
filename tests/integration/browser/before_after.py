"""Takes the pictures of docs/playground_before_after.md: the same actions on the page of an older tree and of this one.

    git worktree add --detach ../old 07d26d0
    (cd ../old && PYTHONPATH=. python -m server serve --port 8001) &
    python -m server serve --port 8002 &
    OUT=docs/images/before_after
    python -m tests.integration.browser.before_after http://127.0.0.1:8001 http://127.0.0.1:8002 $OUT

Both serve the model that ships. What the older page does not have is passed over, and its caption says so.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, sync_playwright
from playwright.sync_api import TimeoutError as NotThere

from scripts.chromium import CHROMIUM, FLAGS
from tests.integration.browser.conftest import SLOW_MACHINE_MS, answers, ask, endless

WIDE, PHONE = (1000, 640), (390, 640)
QUALITY = 55
MARKDOWN = """# Soup

Take **two** onions:

1. cut
2. fry

```py
if hot:
    stir()
```

| onion | pan |
|---|---|
| 2 | 1 |
"""
SIDE_BY_SIDE = """([before, after]) => {
  document.body.replaceChildren(...[["before", before], ["after", after]].map(([said, data]) => {
    const [figure, caption, image] = ["figure", "figcaption", "img"].map((tag) => document.createElement(tag));
    figure.style.cssText = "display:inline-block;margin:4px;font:600 15px sans-serif;color:#555";
    caption.textContent = said;
    image.src = `data:image/png;base64,${data}`;
    image.style.cssText = "display:block;border:1px solid #bbb;zoom:.72";
    figure.append(caption, image);
    return figure;
  }));
  document.body.style.cssText = "margin:0;background:#fff;display:inline-block;white-space:nowrap";
  return Promise.all([...document.images].map((image) => image.decode()));
}"""


def press(page: Page, name: str) -> None:
    """A button, if the page has it."""
    try:
        page.get_by_role("button", name=name).first.click(timeout=10_000)
    except NotThere:
        print(f"  no button {name!r}")


def open_at(page: Page, url: str, settings: str = "") -> None:
    page.goto(f"{url}/{settings}")
    page.locator("#state[data-state=ready]").wait_for()


def answered(page: Page, count: int = 1) -> None:
    page.locator(".answer[data-state=done]").nth(count - 1).wait_for()


def first_screen(page: Page, url: str) -> None:
    open_at(page, url)
    page.wait_for_timeout(8000)


def steering_while_it_is_written(page: Page, url: str) -> None:
    open_at(page, url, "#seed=7&w=cheerful:1")
    endless(page)
    ask(page, "How was your day?")
    page.locator(".token").nth(20).wait_for()
    for _ in range(3):
        page.get_by_role("slider", name="cheerful").press("PageDown")
    page.wait_for_timeout(2500)
    press(page, "Stop")


def words(page: Page, url: str) -> None:
    open_at(page, url, "#seed=1")
    press(page, "Describe an objective")
    if page.locator("#describe-form").count():
        page.keyboard.type("Answer like a pirate.")
        page.keyboard.press("Enter")


def markdown(page: Page, url: str) -> None:
    open_at(page, url, "#seed=1")
    answers(page, MARKDOWN)
    ask(page, "How is soup made?")
    answered(page)


def conversations(page: Page, url: str) -> None:
    open_at(page, url, "#seed=1&n=24&w=cheerful:1")
    for question in ("How was your day?", "What do you like to do on weekends?"):
        press(page, "New chat")
        ask(page, question)
        answered(page)
    page.reload()
    page.locator("#state[data-state=ready]").wait_for()
    press(page, "Conversations")


def branches(page: Page, url: str) -> None:
    open_at(page, url, "#n=24&w=cheerful:1")
    ask(page, "How was your day?")
    answered(page)
    press(page, "Regenerate")
    page.wait_for_timeout(4000)


def plain_words(page: Page, url: str) -> None:
    open_at(page, url, "#seed=7&n=24&w=cheerful:3")
    ask(page, "How was your day?")
    answered(page)
    press(page, "steered")


def without_objectives(page: Page, url: str) -> None:
    page.route("**/v1/objectives", nothing_to_steer_by)
    open_at(page, url, "#seed=1&n=24")
    ask(page, "How was your day?")
    answered(page)


def nothing_to_steer_by(route: Route) -> None:
    listed = route.fetch().json()
    route.fulfill(json=listed | {"data": []})


def phone(page: Page, url: str) -> None:
    open_at(page, url, "#seed=3&n=40&w=cheerful:1")
    ask(page, "How was your day?")
    answered(page)
    press(page, "Steer")


def tradeoff(page: Page, url: str) -> None:
    open_at(page, url, "#v=sweep&s=cheerful,concise,5,4,1.5")


def key(page: Page, url: str) -> None:
    error = {"message": "a key is needed", "type": "invalid_request_error", "param": None, "code": "no_key"}
    page.route("**/v1/**", lambda route: route.fulfill(status=401, json={"error": error}))
    page.goto(url)
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_timeout(1500)


def reference(page: Page, url: str) -> None:
    page.goto(f"{url}/docs")
    page.wait_for_timeout(2500)


CHANGES: dict[str, tuple[Callable[[Page, str], None], tuple[int, int]]] = {
    "first-screen": (first_screen, WIDE),
    "steering-live": (steering_while_it_is_written, WIDE),
    "words": (words, WIDE),
    "markdown": (markdown, WIDE),
    "conversations": (conversations, WIDE),
    "branches": (branches, WIDE),
    "plain-words": (plain_words, WIDE),
    "without-objectives": (without_objectives, WIDE),
    "phone": (phone, PHONE),
    "tradeoff": (tradeoff, WIDE),
    "key": (key, WIDE),
    "reference": (reference, WIDE),
}


def taken(browser: Browser, url: str, name: str) -> str:
    act, (width, height) = CHANGES[name]
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(4 * SLOW_MACHINE_MS)
    act(page, url)
    picture = base64.b64encode(page.screenshot()).decode()
    context.close()
    return picture


def compose(browser: Browser, pictures: list[str], to: Path) -> None:
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    page = context.new_page()
    page.evaluate(SIDE_BY_SIDE, pictures)
    box = page.locator("body").bounding_box()
    clip = {**(box or {}), "scale": 1}
    shot = {"format": "webp", "quality": QUALITY, "clip": clip, "captureBeyondViewport": True}
    to.write_bytes(base64.b64decode(context.new_cdp_session(page).send("Page.captureScreenshot", shot)["data"]))
    context.close()


def main(before: str, after: str, folder: Path, names: list[str]) -> None:
    """Of the changes named, or of all."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in names or CHANGES:
            print(name, flush=True)
            compose(browser, [taken(browser, url, name) for url in (before, after)], folder / f"{name}.webp")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
