"""The playground in a browser, against ``mavis serve`` with the model that ships.

What the page shows is held against what the API answers to the same request with the same seed.
"""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.integration.browser.conftest import OpenPage, ask, endless, plain, ready
from tests.integration.conftest import Served

DONE = ".answer[data-state=done]"
TEXT = "#view-chat .answer-text"
READOUT = "#view-chat .readout"


def answer_to(served: Served, body: dict[str, Any]) -> Any:
    response = httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def sent(page: Page) -> list[dict[str, Any]]:
    """Bodies of the chat requests from here on."""
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda r: bodies.append(json.loads(r.post_data or "{}")) if "/v1/chat/" in r.url else None)
    return bodies


def visible_text(page: Page, selector: str) -> str:
    return str(page.locator(selector).evaluate("element => element.textContent"))


def test_it_loads_what_the_server_has(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(served.url))
    listed = httpx.get(f"{served.url}/v1/objectives").json()["data"]
    sliders = page.get_by_role("slider")
    expect(sliders).to_have_count(len(listed))
    for slider, objective in zip(sliders.all(), listed, strict=True):
        expect(slider).to_have_accessible_name(objective["name"])
        ends = [float(slider.get_attribute(f"aria-value{end}") or 0) for end in ("min", "max")]
        assert ends == [-3, 3]
        plainly = str(objective["description"]).split(" (")[0]
        expect(page.get_by_text(plainly, exact=True)).to_be_visible()
    expect(page.locator("#state")).to_have_text("mavis-small")
    expect(page.get_by_role("button", name="How was your day?")).to_be_visible()


def test_a_slider_is_dragged_and_reset(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=1"))
    thumb = page.get_by_role("slider", name="cheerful")
    box = thumb.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=5)
    page.mouse.up()
    dragged = float(thumb.get_attribute("aria-valuenow") or 0)
    assert 0 < dragged < 3
    expect(page.get_by_role("spinbutton", name="cheerful, exact weight")).to_have_value(f"{dragged:g}")
    page.mouse.move(x + 60, y)
    page.mouse.down()
    page.mouse.move(x - 50, y, steps=5)
    page.mouse.up()
    assert float(thumb.get_attribute("aria-valuenow") or 0) < 0
    assert "avoided" in (thumb.get_attribute("aria-valuetext") or "")
    page.wait_for_url("**/#*w=cheerful*")
    thumb.dblclick()
    expect(thumb).to_have_attribute("aria-valuenow", "0")


def test_an_answer_streams_and_is_the_apis(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#w=cheerful:1.5,concise:-0.5&seed=7&n=40"))
    bodies = sent(page)
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    choice = answer_to(served, bodies[0] | {"stream": False})
    assert bodies[0]["objective_weights"] == {"cheerful": 1.5, "concise": -0.5, "curious": 0, "factual": 0}
    assert plain(visible_text(page, TEXT)) == plain(choice["message"]["content"])
    readout = page.locator(READOUT)
    expect(readout).to_contain_text(f"KL total{choice['guidance']['kl_nats']:.2f} nats")
    expect(readout).to_contain_text(f"KL per token{choice['guidance']['kl_per_token']:.3f}")
    expect(readout).to_contain_text("tokens/s")

    steps = choice["guidance"]["tokens"]
    third = page.locator(".token").nth(2)
    assert third.text_content() == steps[2]["token"]
    third.hover()
    card = page.get_by_role("tooltip")
    expect(card).to_be_visible()
    shift = steps[2]["logprob"] - steps[2]["base_logprob"]
    expect(card).to_contain_text(f"{abs(shift):.2f} nats")
    for name, value in steps[2]["values"].items():
        expect(card).to_contain_text(f"{name}{f'{value:.2f}'.replace('-', '−')}")
    strength = float(third.evaluate("token => token.style.getPropertyValue('--shift')"))
    assert strength == pytest.approx(min(1, abs(shift) / 3), abs=2e-3)


def test_text_grows_while_it_streams_and_stop_stops_the_server_too(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#w=curious:1"))
    endless(page)
    ask(page, "Tell me everything.")
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_visible()
    expect(page.locator(".token").nth(8)).to_be_attached()
    assert page.locator("#view-chat .answer").get_attribute("data-state") == "running"
    stop.click()
    expect(page.locator("#view-chat .answer")).to_have_attribute("data-state", "stopped")
    kept = visible_text(page, TEXT)
    assert kept.strip()
    expect(page.locator(READOUT)).to_contain_text("stopped")
    served.wait_idle()
    page.unroute_all()
    bodies = sent(page)
    ask(page, "Go on.")
    expect(page.locator(DONE)).to_have_count(1)
    assert plain(bodies[0]["messages"][1]["content"]) == plain(kept)


def test_regenerate_and_edit(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#n=12"))
    bodies = sent(page)
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    page.get_by_role("button", name="Regenerate").click()
    expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    assert len(bodies) == 2
    assert bodies[0]["messages"] == bodies[1]["messages"]
    assert bodies[0]["seed"] != bodies[1]["seed"]
    ask(page, "And yours?")
    expect(page.locator(DONE)).to_have_count(2)
    page.get_by_role("button", name="Edit").first.click()
    page.get_by_role("textbox", name="Edit message").fill("How was your week?")
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    assert bodies[3]["messages"] == [{"role": "user", "content": "How was your week?"}]
    expect(page.locator(".turn.user")).to_have_count(1)


def test_zero_weights_are_the_plain_model_and_text_is_only_text(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=3&n=30"))
    bodies = sent(page)
    hostile = "<img src=x onerror=alert(1)><b>hi</b>"
    ask(page, hostile)
    expect(page.locator(DONE)).to_have_count(1)
    assert bodies[0]["objective_weights"] == {}
    assert page.locator(".token").count() == 0
    expect(page.locator(".said")).to_have_text(hostile)
    choice = {"index": 0, "delta": {"content": hostile}, "finish_reason": "stop"}
    body = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    ask(page, "Again")
    expect(page.locator(TEXT).last).to_have_text(hostile)
    assert page.locator(".transcript img, .transcript b").count() == 0


def test_errors_are_readable(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#n=8&sys={'a long story ' * 1_000}"))
    ask(page, "How was your day?")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server refused this request")
    expect(alert).to_contain_text("messages")
    expect(alert).to_contain_text("HTTP 400 · invalid_request_error")
    page.fill("#system", "")
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator(DONE)).to_have_count(1)
    broken = {
        "error": {"message": "the engine gave up", "type": "server_error", "param": None, "code": "request_failed"}
    }
    chunk = {"choices": [{"index": 0, "delta": {"content": "Half an"}, "finish_reason": None}]}
    body = f"data: {json.dumps(chunk)}\n\ndata: {json.dumps(broken)}\n\ndata: [DONE]\n\n"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    ask(page, "Again")
    expect(page.get_by_role("alert")).to_contain_text("the engine gave up")
    expect(page.locator(TEXT).last).to_have_text("Half an")


def test_compare_streams_all_columns_at_once_from_one_seed(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#v=compare&n=20&c=&c=cheerful:1.5&q=How was your day?"))
    page.get_by_role("button", name="Add column").click()
    third = page.get_by_role("region", name="Column C")
    third.get_by_role("slider", name="cheerful").press("PageDown")
    bodies = sent(page)
    page.locator("#view-compare").get_by_role("button", name="Compare").click()
    expect(page.locator(f".column {DONE}")).to_have_count(3)
    weights = [body["objective_weights"].get("cheerful") for body in bodies]
    assert sorted(weights, key=str) == sorted([None, 1.5, -1], key=str)
    assert len({body["seed"] for body in bodies}) == 1
    texts = [
        str(words.evaluate("element => element.textContent")) for words in page.locator(".column .answer-text").all()
    ]
    by_weight = {body["objective_weights"].get("cheerful"): body for body in bodies}
    for weight, text in zip([None, 1.5, -1], texts, strict=True):
        assert plain(text) == plain(answer_to(served, by_weight[weight] | {"stream": False})["message"]["content"])
    assert len(set(texts)) > 1

    third.get_by_role("button", name="Remove column C").click()
    endless(page)
    page.locator("#view-compare").get_by_role("button", name="Compare").click()
    expect(page.locator(".column .answer[data-state=running]")).to_have_count(2)
    served.wait_for("mavis:num_requests_running", 2)
    expect(page.locator(".column").nth(1).locator(".token").nth(3)).to_be_attached()
    page.keyboard.press("Escape")
    expect(page.locator(".column .answer[data-state=stopped]")).to_have_count(2)
    served.wait_idle()


def test_sweep_draws_the_trade_off(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#v=sweep&n=12&seed=5&s=cheerful,curious,3,2,2"))
    bodies = sent(page)
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#view-sweep .stop")).to_be_visible()
    expect(page.locator("#view-sweep .stop")).to_be_hidden()
    expect(page.locator(".chart .point")).to_have_count(4)
    expect(page.locator(".chart .sample")).to_have_count(8)
    labels = ["not steered", "2 : 0", "1 : 1", "0 : 2"]
    assert page.locator(".chart .point-label").all_text_contents() == labels
    rows = page.locator(".table-wrap tbody tr")
    assert [row.locator("td").first.text_content() for row in rows.all()] == labels
    assert len(bodies) == 8
    half_way = [body for body in bodies if body["objective_weights"] == {"cheerful": 1, "curious": 1}]
    values = [answer_to(served, body)["guidance"]["values"] for body in half_way]
    mean = sum(each["cheerful"] for each in values) / 2
    expect(rows.nth(2).locator("td").nth(1)).to_contain_text(f"{mean:.2f} ±".replace("-", "−"))
    ends = [float(str(rows.nth(i).locator("td").nth(1).text_content()).split()[0].replace("−", "-")) for i in (1, 3)]
    assert ends[0] > ends[1]


def test_a_shared_link_brings_everything_back(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(served.url))
    page.get_by_role("slider", name="curious").press("PageUp")
    page.get_by_role("slider", name="factual").press("ArrowLeft")
    for field, value in (("beta", "1.5"), ("maxKl", "0.25"), ("temperature", "0.8"), ("topP", "0.9"), ("seed", "11")):
        page.fill(f"#field-{field}", value)
    page.locator("#system-details summary").click()
    page.fill("#system", "Be brief & kind.")
    page.fill("#prompt", "What is 1+1=? 100%")
    page.get_by_role("button", name="Share").click()
    link = page.url
    other = ready(open_page(link))
    expect(other.get_by_role("slider", name="curious")).to_have_attribute("aria-valuenow", "1")
    expect(other.get_by_role("slider", name="factual")).to_have_attribute("aria-valuenow", "-0.1")
    expect(other.locator("#field-maxKl")).to_have_value("0.25")
    expect(other.locator("#system")).to_have_value("Be brief & kind.")
    expect(other.locator("#prompt")).to_have_value("What is 1+1=? 100%")
    bodies = sent(other)
    other.press("#prompt", "Enter")
    expect(other.locator(DONE)).to_have_count(1)
    assert bodies[0]["guidance"] == {"report": True, "beta": 1.5, "max_kl_per_token": 0.25}
    assert (bodies[0]["temperature"], bodies[0]["top_p"], bodies[0]["seed"]) == (0.8, 0.9, 11)
    assert bodies[0]["messages"][0] == {"role": "system", "content": "Be brief & kind."}


def test_a_broken_link_says_what_it_left_out(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#v=chat&w=cheerful:1,helpful:2,curious:x&t=9&n=-4&s=%FF"))
    notice = page.locator("#notice")
    for name in ("helpful", "curious:x", "Temperature", "Max tokens"):
        expect(notice).to_contain_text(name)
    bodies = sent(page)
    ask(page, "Hello")
    expect(page.locator(DONE)).to_have_count(1)
    assert bodies[0]["objective_weights"]["cheerful"] == 1
    assert "helpful" not in bodies[0]["objective_weights"]


def test_presets_stay_in_the_browser(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#w=cheerful:2&b=1"))
    page.fill("#save-preset input", "Sunny <b>")
    page.get_by_role("button", name="Save").click()
    chip = page.get_by_role("button", name="Sunny <b>", exact=True)
    expect(chip).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    page.reload()
    ready(page)
    chip.click()
    expect(page.get_by_role("slider", name="cheerful")).to_have_attribute("aria-valuenow", "2")
    expect(page.locator("#field-beta")).to_have_value("1")
    page.get_by_role("button", name="Delete preset Sunny <b>").click()
    expect(chip).to_have_count(0)


def test_a_preset_of_the_server_is_a_model_name(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(served.url))
    names = [{"id": name, "root": "r", "max_model_len": 9} for name in ("mavis-small", "mavis-small:sunny")]

    def listed(route: Route) -> None:
        route.fulfill(json={"object": "list", "data": names})

    page.route("**/v1/models", listed)
    page.reload()
    ready(page)
    page.get_by_role("button", name="sunny").click()
    bodies: list[dict[str, Any]] = []

    def answer(route: Route) -> None:
        bodies.append(json.loads(route.request.post_data or "{}"))
        route.fulfill(body="data: [DONE]\n\n", content_type="text/event-stream")

    page.route("**/v1/chat/completions", answer)
    ask(page, "Hello")
    expect(page.locator(DONE)).to_have_count(1)
    assert bodies[0]["model"] == "mavis-small:sunny"
    assert "objective_weights" not in bodies[0]


def test_the_code_is_what_the_page_sends(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f'{served.url}/#w=cheerful:1&seed=9&n=15&kl=0.5&q=It\'s "me" \\o/'))
    page.get_by_role("button", name="Code").click()
    code = page.locator("dialog code")
    words = shlex.split(str(code.text_content()).replace("\\\n", " "))
    body = json.loads(words[words.index("-d") + 1])
    assert words[2] == f"{served.url}/v1/chat/completions"
    page.get_by_role("button", name="Python").click()
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(str(code.text_content()), "snippet", "exec"), {})
    page.keyboard.press("Escape")
    bodies = sent(page)
    page.press("#prompt", "Enter")
    expect(page.locator(DONE)).to_have_count(1)
    weights = {name: weight for name, weight in bodies[0]["objective_weights"].items() if weight}
    assert bodies[0] | {"objective_weights": weights} == body
    assert plain(shown.getvalue()) == plain(visible_text(page, TEXT)) != ""


def test_a_phone(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#n=30", width=360, height=740))
    expect(page.get_by_role("slider", name="cheerful")).to_be_hidden()
    page.get_by_role("button", name="Steer", exact=True).click()
    page.get_by_role("slider", name="cheerful").press("PageUp")
    page.get_by_role("button", name="Steer", exact=True).click()
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    for view in ("Chat", "Compare", "Trade-off"):
        page.get_by_role("tab", name=view).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view
        spilling = page.evaluate(
            "[...document.querySelectorAll('main button, main textarea, main input, header button')]"
            ".filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > 360).map((e) => e.outerHTML)"
        )
        assert not spilling


def test_dark_light_and_the_switch(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(served.url, scheme="dark"))
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Theme: auto").click()
    light = page.evaluate(paper)
    assert dark != light
    page.reload()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert page.evaluate(paper) == light
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(paper) == dark


def test_without_a_mouse(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#n=20&seed=2"))
    keys = page.keyboard
    inner = "?.shadowRoot?.activeElement"
    for _ in range(40):
        keys.press("Tab")
        if page.evaluate(f"document.activeElement{inner}{inner}?.role") == "slider":
            break
    keys.press("PageUp")
    keys.press("ArrowRight")
    thumb = page.get_by_role("slider", name="cheerful")
    expect(thumb).to_be_focused()
    expect(thumb).to_have_attribute("aria-valuenow", "1.1")
    keys.press("0")
    expect(thumb).to_have_attribute("aria-valuenow", "0")
    keys.press("End")
    expect(thumb).to_have_attribute("aria-valuenow", "3")
    keys.press("/")
    keys.type("How was your day?")
    keys.press("Enter")
    expect(page.locator(DONE)).to_have_count(1)
    page.locator(".token").first.focus()
    keys.press("ArrowRight")
    expect(page.locator(".token").nth(1)).to_be_focused()
    expect(page.get_by_role("tooltip")).to_contain_text("Tilted")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    keys.press("Escape")
    expect(page.get_by_role("tooltip")).to_be_hidden()
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    keys.press("Escape")
    keys.press("Alt+2")
    expect(page.get_by_role("tab", name="Compare")).to_be_focused()
    keys.press("ArrowRight")
    expect(page.get_by_role("tab", name="Trade-off")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#view-sweep")).to_be_visible()
