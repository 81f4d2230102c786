"""Answers in Markdown: what is drawn, what never is, and tokens that keep their shades in it."""

from __future__ import annotations

import json
import math
from typing import Any

from playwright.sync_api import Page, expect

from tests.integration.browser.conftest import OpenPage, answers, ask, plain, ready
from tests.integration.browser.test_accessibility import check
from tests.integration.browser.test_page import DONE
from tests.integration.conftest import Served

TEXT = """# Soup

Take **two** onions & `salt`:

1. cut
2. fry
   ```python
   if hot:
       stir("x")
   ```

| a | b |
|---|---|
| 1 | 2 |

> said [so](https://example.org/a) and [not](javascript:alert(1))

![cat](https://example.org/cat.png) <b onclick="alert(1)">bold</b> &lt;i&gt;
<script>alert(2)</script>
"""


def streamed(page: Page, tokens: list[str]) -> None:
    """From now on every answer is these tokens, each with a report, three to a packet."""
    step: dict[str, Any] = {"token_id": 1, "base_logprob": -2, "steering_nats": 0.1, "truncation_nats": 0, "values": {}}
    chunks = []
    for i in range(0, len(tokens), 3):
        reports = [step | {"token": token, "logprob": -1 - (token == "two") * 2.5} for token in tokens[i : i + 3]]
        choice = {"index": 0, "delta": {"content": "".join(tokens[i : i + 3])}, "guidance": {"tokens": reports}}
        chunks.append({"id": "chatcmpl-1", "choices": [choice | {"finish_reason": None}]})
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))


def test_markdown_is_drawn_and_nothing_else(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=1", width=390, scheme="dark"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answers(page, TEXT)
    ask(page, "How is soup made?")
    words = page.locator(f"{DONE} .answer-text")
    expect(words.get_by_role("heading", name="Soup")).to_be_visible()
    expect(words.locator("strong")).to_have_text("two")
    expect(words.locator("ol > li")).to_have_count(2)
    expect(words.locator("li pre code")).to_have_text('if hot:\n    stir("x")')
    expect(words.locator("td")).to_have_text(["1", "2"])
    links = [(each.text_content(), each.get_attribute("href")) for each in words.locator("a").all()]
    assert links == [("so", "https://example.org/a"), ("cat", "https://example.org/cat.png")]
    expect(words).to_contain_text("[not](javascript:alert(1))")
    expect(words).to_contain_text('<b onclick="alert(1)">bold</b> <i>')
    expect(words).to_contain_text("<script>alert(2)</script>")
    assert words.locator("b, i, script, img, [onclick]").count() == 0
    check(page, "an answer in Markdown")
    for label, text in (("Copy code", 'if hot:\n    stir("x")'), ("Copy answer", TEXT)):
        page.get_by_role("button", name=label).click()
        expect(page.get_by_role("button", name=label)).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == text
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_tokens_keep_their_shades_in_it(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#w=cheerful:1"))
    tokens = [
        "Take",
        " **",
        "two",
        "**",
        " on",
        "ions",
        ".\n\n",
        "- one",
        "\n- t",
        "wo\n\n",
        "```\n",
        "a = 1\n",
        "b",
        "\n```",
    ]
    streamed(page, tokens)
    ask(page, "How is soup made?")
    words = page.locator(f"{DONE} .answer-text")
    expect(words.locator("li")).to_have_text(["one", "two"])
    shown = ["Take", " ", "two", " on", "ions", ".", "one", "t", "wo", "a = 1\n", "b"]
    assert words.locator(".token").all_text_contents() == shown
    two = words.locator("strong .token")
    assert float(two.evaluate("token => token.style.getPropertyValue('--shift')")) == 0.5
    expect(two).to_have_class("token down")
    two.hover()
    card = page.get_by_role("tooltip")
    expect(card).to_contain_text("−1.50 nats")
    expect(card).to_contain_text(f"{100 * math.exp(-3.5):.0f} %")
    background = "token => getComputedStyle(token).backgroundColor"
    shaded = two.evaluate(background)
    page.get_by_label("Shade tokens by").first.select_option("off")
    assert two.evaluate(background) != shaded
    expect(words.locator("strong")).to_have_text("two")


def test_a_long_answer_is_drawn_block_by_block_as_in_one_go(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=1"))
    same = page.evaluate(
        """async (text) => {
            const { Prose } = await import("/playground/app/text/prose.js");
            const [grown, whole] = [new Prose(), new Prose()];
            for (let i = 0; i < text.length; i += 3) {
                grown.add([{ text: text.slice(i, i + 3), reports: [] }]);
                grown.draw();
            }
            whole.add([{ text, reports: [] }]);
            whole.draw();
            for (const prose of [grown, whole]) prose.element.normalize();
            return [grown.element.innerHTML, whole.element.innerHTML];
        }""",
        TEXT * 2,
    )
    assert same[0] == same[1] != ""


def test_reasoning_is_folded_above_the_answer(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=1"))
    answers(page, "Forty-two.", reasoning="Six times **seven**.")
    ask(page, "What is 6 x 7?")
    answer = page.locator(f"{DONE}")
    assert plain(answer.locator(".answer-text").text_content()) == "Forty-two."
    expect(answer.locator(".thoughts")).to_be_hidden()
    answer.locator("summary").click()
    expect(answer.locator(".thoughts")).to_have_text("Six times **seven**.")
    page.reload()
    ready(page)
    expect(page.locator("#view-chat .answer summary")).to_be_visible()
