"""What somebody meets who has just installed the server and starts it on a chat model, with the seconds it took.

    pip install '.[client,gguf]' playwright
    python -m scripts.newcomer --model path/to/model.gguf --picture first.png

Starts ``mavis serve`` as it is installed beside this Python, on the model and nothing else. Then, in Chromium: are
there sliders, and does one that is typed in words steer at once? And with the official client: does a request that
brings its own objective get another answer than one that does not? Prints what was found, and ends with 1 where
something was not.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scripts.chromium import CHROMIUM, FLAGS
from scripts.served import served

if TYPE_CHECKING:
    from playwright.sync_api import Page

INSTRUCTION = "Talk like a pirate."
NAME = "Talk like a pirate"  # what the page makes of it
QUESTION = "How was your day?"
SEED = 7
PATIENCE_MS = 60_000


@dataclass(frozen=True, slots=True)
class OnThePage:
    """
    Attributes:
        sliders: there before anything was typed.
        page_seconds: from opening the page to them.
        first_token_seconds: from Enter behind the words to the first token that they steer, the question being sent
            in between.
        values: of that token's card, for the new slider.
        kl_nats: of the whole answer.
    """

    sliders: list[str]
    page_seconds: float
    first_token_seconds: float
    values: str
    kl_nats: str
    answer: str


@dataclass(frozen=True, slots=True)
class ByClient:
    """Answers of the official client to one question and seed; ``guidance`` is that of the steered one."""

    plain: str
    steered: str
    guidance: dict[str, Any]


def on_the_page(page: Page, url: str) -> OnThePage:
    """Raises playwright's TimeoutError, naming what did not come."""
    page.set_default_timeout(PATIENCE_MS)
    opened = time.monotonic()
    page.goto(f"{url}/#seed={SEED}&n=40")
    page.wait_for_selector("#state[data-state=ready]")
    page.wait_for_selector("#weights-place mavis-slider")
    there = time.monotonic()
    names = [str(each.get_attribute("objective")) for each in page.locator("#weights-place mavis-slider").all()]
    page.fill("#prompt", QUESTION)
    page.get_by_role("button", name="Describe an objective").click()
    page.keyboard.type(INSTRUCTION)
    added = time.monotonic()
    page.keyboard.press("Enter")
    page.get_by_role("slider", name=NAME, exact=True).wait_for()
    page.press("#prompt", "Enter")
    token = page.locator("#view-chat .token").first
    token.wait_for(state="attached")
    came = time.monotonic()
    page.wait_for_selector("#view-chat .answer[data-state=done]")
    token.hover()
    value = page.locator(f"#token-card dt:text-is('{NAME}') ~ dd").nth(1)
    return OnThePage(
        sliders=names,
        page_seconds=round(there - opened, 2),
        first_token_seconds=round(came - added, 2),
        values=str(value.text_content()),
        kl_nats=str(page.locator("#view-chat .readout dt:text-is('KL total') + dd").text_content()),
        answer=str(page.locator("#view-chat .answer-text").text_content()),
    )


def by_client(url: str) -> ByClient:
    """Raises openai's errors."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    asked: dict[str, Any] = {
        "model": client.models.list().data[0].id,
        "messages": [{"role": "user", "content": QUESTION}],
        "seed": SEED,
        "max_tokens": 40,
    }
    own = {"objectives": {"pirate": INSTRUCTION}, "objective_weights": {"pirate": 2}}
    plain = client.chat.completions.create(**asked).choices[0]
    steered: Any = client.chat.completions.create(**asked, extra_body=own).choices[0]
    return ByClient(plain.message.content or "", steered.message.content or "", steered.guidance)


def faults(page: OnThePage, client: ByClient) -> list[str]:
    """What a newcomer would miss."""
    checks = {
        "the page has no sliders": page.sliders,
        "the slider in words did not steer": page.values and not page.kl_nats.startswith("0.00 "),
        "the official client's objective did not steer": client.guidance["kl_nats"] > 0,
        "the official client's answer is the same": client.plain != client.steered,
    }
    return [fault for fault, good in checks.items() if not good]


def main(
    model: Annotated[str, typer.Option(help="as of mavis serve")],
    picture: Annotated[Path | None, typer.Option(help="where a picture of the page goes")] = None,
) -> None:
    """One run."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise typer.BadParameter("there is no Chromium on this machine")
    begun = time.monotonic()
    program = (str(Path(sys.executable).with_name("mavis")), "serve")
    with served("--model", model, program=program, log=sys.stderr.fileno()) as server, sync_playwright() as playwright:
        typer.echo(f"ready after {time.monotonic() - begun:.1f} s")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 850})
        seen = on_the_page(page, server.url)
        if picture is not None:
            page.screenshot(path=picture)
        asked = by_client(server.url)
        browser.close()
    typer.echo(json.dumps({"page": asdict(seen), "client": asdict(asked)}, indent=2, ensure_ascii=False))
    missed = faults(seen, asked)
    typer.echo("\n".join(missed) or "nothing was missed")
    raise typer.Exit(bool(missed))


if __name__ == "__main__":
    typer.run(main)
