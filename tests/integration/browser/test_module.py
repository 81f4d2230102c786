"""The browser module: events out of any packets, weights on a track, the elements in a form of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.integration.browser.conftest import OpenPage
from tests.integration.conftest import Served

EVENTS = (
    'data: {"a": "für 🐦"}\r\n\r\ndata:two\r\ndata: lines\r\n\r\n: comment\nid: 3\n\ndata\n\ndata: cr\r\rdata: cut off'
)
EXPECTED = ['{"a": "für 🐦"}', "two\nlines", "", "cr"]


@pytest.fixture
def bare(served: Served, open_page: OpenPage) -> Page:
    """A page of the server's origin without the playground in it."""
    return open_page(f"{served.url}/playground/favicon.svg")


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_events_split_anywhere(bare: Page, size: int) -> None:
    found = bare.evaluate(
        """async ([bytes, size]) => {
            const { eventData } = await import("/playground/lib/sse.js");
            const parts = [];
            for (let i = 0; i < bytes.length; i += size) parts.push(new Uint8Array(bytes.slice(i, i + size)));
            const stream = new ReadableStream({ pull: (c) => (parts.length ? c.enqueue(parts.shift()) : c.close()) });
            const found = [];
            for await (const data of eventData(stream)) found.push(data);
            return found;
        }""",
        [list(EVENTS.encode()), size],
    )
    assert found == EXPECTED


@pytest.mark.parametrize("low_high", [(-16, 16), (-1, 3), (0, 2), (-4, 0), (1, 5)])
@pytest.mark.parametrize("curve", [1, 3])
def test_a_track_goes_there_and_back(bare: Page, low_high: tuple[float, float], curve: float) -> None:
    low, high = low_high
    values = [low + (high - low) * i / 10 for i in range(11)]
    fractions, back = bare.evaluate(
        """async ([values, track]) => {
            const { toFraction, toValue } = await import("/playground/lib/curve.js");
            const fractions = values.map((value) => toFraction(value, track));
            return [fractions, fractions.map((fraction) => toValue(fraction, track))];
        }""",
        [values, {"min": low, "max": high, "curve": curve}],
    )
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert back == pytest.approx(values)


def test_text_and_reports_are_matched(bare: Page) -> None:
    """Held-back text, half characters, a stop token without text."""
    report: dict[str, Any] = {"token_id": 1, "logprob": -1, "base_logprob": -2}
    steps: list[tuple[list[str], str]] = [
        (["I"], "I"),
        ([" a", "m"], " am"),
        (["\ufffd"], ""),
        (["\ufffd", "!"], "é!"),
        (["</s>"], ""),
    ]
    spans = bare.evaluate(
        """async ([steps]) => {
            const { matchTokens } = await import("/playground/app/tokens.js");
            let waiting = [];
            const found = [];
            for (const [tokens, text] of steps) {
                const made = matchTokens([...waiting, ...tokens], text);
                waiting = made.waiting;
                found.push(...made.spans.map(({ text, reports }) => [text, reports.length]));
            }
            return [found, waiting.length];
        }""",
        [[([report | {"token": token} for token in tokens], text) for tokens, text in steps]],
    )
    assert spans == [[["I", 1], [" a", 1], ["m", 1], ["é!", 3]], 1]


def test_the_client_raises_what_the_server_says(bare: Page, served: Served) -> None:
    code = """async ([body, base]) => {
        const { Mavis } = await import("/playground/lib/mavis.js");
        try {
            for await (const piece of new Mavis(base ? { baseURL: base } : {}).chat(body)) void piece;
        } catch ({ name, status, param, code, requestId, message }) {
            return { name, status, param, code, requestId: Boolean(requestId), message };
        }
    }"""
    messages = [{"role": "user", "content": "hi"}]
    unknown = bare.evaluate(code, [{"messages": messages, "weights": {"helpful": 1}}, None])
    assert (unknown["name"], unknown["status"], unknown["code"]) == ("MavisError", 400, "unknown_objective")
    assert unknown["requestId"] and "cheerful" in unknown["message"]
    nobody = bare.evaluate(code, [{"messages": messages}, served.url + "/nowhere"])
    assert (nobody["status"], nobody["code"]) == (404, "not_found")


@pytest.mark.parametrize("example", ["plain.html"])
def test_the_example_page(served: Served, open_page: OpenPage, example: str) -> None:
    page = open_page(f"{served.url}/playground/favicon.svg")
    source = (Path("examples/web") / example).read_text(encoding="utf-8")
    page.route("**/plain.html", lambda route: route.fulfill(body=source, content_type="text/html"))
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda r: bodies.append(json.loads(r.post_data or "{}")) if "/chat/" in r.url else None)
    page.goto(f"{served.url}/plain.html")
    page.get_by_role("slider", name="cheerful").press("PageUp")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("output")).to_have_attribute("data-state", "done")
    assert str(page.locator("output").text_content()).strip()
    assert bodies[0]["objective_weights"]["cheerful"] == 1


def test_the_elements_are_form_fields(bare: Page, served: Served) -> None:
    bare.goto(f"{served.url}/")
    found = bare.evaluate(
        """async () => {
            const { Mavis } = await import("/playground/lib/mavis.js");
            const form = document.createElement("form");
            const slider = document.createElement("mavis-slider");
            slider.setAttribute("objective", "polite");
            slider.setAttribute("min", "-2");
            slider.setAttribute("max", "2");
            slider.setAttribute("value", "9");
            const all = document.createElement("mavis-weights");
            all.objectives = await new Mavis().objectives();
            all.weights = { curious: -1.5 };
            form.append(slider, all);
            document.body.append(form);
            const said = [];
            form.addEventListener("input", () => said.push("input"));
            form.addEventListener("change", () => said.push("change"));
            const thumb = slider.shadowRoot.querySelector("[role=slider]");
            thumb.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
            const filled = Object.fromEntries(new FormData(form));
            form.reset();
            return [filled, said, slider.value];
        }"""
    )
    filled, said, after_reset = found
    assert float(filled["polite"]) == 1.9
    assert json.loads(filled["objective_weights"]) == {"cheerful": 0, "concise": 0, "curious": -1.5, "factual": 0}
    assert said == ["input", "change"]
    assert after_reset == 2
