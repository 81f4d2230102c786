"""A slider that is moved while an answer streams steers it from there on, and the text shows where."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Response, expect

from tests.integration.browser.conftest import OpenPage, ask, endless, plain, ready
from tests.integration.browser.test_page import answer_to, sent
from tests.integration.conftest import Served

# Of the answer on the page: the text before the first mark, and what that says.
BEFORE = """words => {
  const mark = words.querySelector(".change"), before = new Range();
  before.setStart(words, 0);
  before.setEndBefore(mark);
  return [before.toString(), mark.dataset.said];
}"""


def test_a_slider_steers_the_answer_that_streams(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=7&w=cheerful:1"))
    bodies, patches = sent(page), list[Response]()
    page.on("response", lambda response: patches.append(response) if response.request.method == "PATCH" else None)
    endless(page)
    ask(page, "Tell me everything.")
    expect(page.locator(".token").nth(8)).to_be_attached()
    page.get_by_role("slider", name="cheerful").press("PageDown")
    page.get_by_role("slider", name="cheerful").press("PageDown")
    mark = page.locator("#view-chat .change")
    expect(mark.last).to_have_attribute("data-said", "cheerful −1")
    expect(mark.last).to_have_attribute("aria-label", "From here on: cheerful −1")
    page.get_by_role("button", name="Stop").click()
    served.wait_idle()

    assert patches[-1].url.startswith(f"{served.url}/v1/requests/chatcmpl-")
    zeros = {"concise": 0, "curious": 0, "factual": 0}
    assert json.loads(patches[-1].request.post_data or "{}") == {
        "objective_weights": {"cheerful": -1, **zeros},
        "guidance": {"beta": None, "max_kl_per_token": None},
    }
    before, said = page.locator("#view-chat .answer-text").evaluate(BEFORE)
    assert said in ("cheerful −1", "not steered"), "the first press may have been overtaken by the second"
    (token,) = patches[0 if said == "not steered" else -1].json()["from_token"]
    unchanged: dict[str, Any] = {**bodies[0], "stream": False, "max_tokens": token, "ignore_eos": True}
    assert plain(answer_to(served, unchanged)["message"]["content"]) == plain(before), (
        "what came before is as it would have been"
    )


def test_nothing_is_sent_where_nothing_changes_or_nothing_streams(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=7&n=8&w=cheerful:1"))
    patches: list[str] = []
    page.on("request", lambda request: patches.append(request.url) if request.method == "PATCH" else None)
    ask(page, "How was your day?")
    expect(page.locator(".answer[data-state=done]")).to_have_count(1)
    page.get_by_role("slider", name="cheerful").press("PageDown")
    expect(page.locator("#view-chat .who")).to_have_text("cheerful +1")
    page.wait_for_timeout(300)
    assert patches == []
    assert page.locator(".change").count() == 0
