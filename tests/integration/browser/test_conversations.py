"""Conversations are kept in the browser: over a reload, under names, with branches, as a file."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.integration.browser.conftest import OpenPage, answers, ask, endless, ready
from tests.integration.browser.test_accessibility import check
from tests.integration.browser.test_page import DONE, TEXT, sent, visible_text
from tests.integration.conftest import Served


def shown(page: Page) -> list[str | None]:
    return [each.text_content() for each in page.locator(".said, #view-chat .answer-text, .readout, .who").all()]


def test_a_reload_loses_nothing(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#n=12&w=cheerful:1&seed=4"))
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    before = shown(page)
    page.reload()
    ready(page)
    assert shown(page) == before
    expect(page.locator("#prompt")).to_have_value("")
    page.locator(".token").nth(1).hover()
    expect(page.get_by_role("tooltip")).to_contain_text("cheerful")
    bodies = sent(page)
    ask(page, "And yours?")
    expect(page.locator(DONE)).to_have_count(2)
    assert [message["role"] for message in bodies[0]["messages"]] == ["user", "assistant", "user"]
    endless(page)
    ask(page, "Tell me everything.")
    expect(page.locator(".turn").last.locator(".token").nth(8)).to_be_attached()
    page.reload()
    ready(page)
    expect(page.locator("#view-chat .answer").last).to_have_attribute("data-state", "stopped")
    assert len(page.locator(TEXT).last.text_content() or "") > 10, "what was there of an answer is kept too"
    served.wait_idle()


def test_branches_and_the_weights_of_now(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#n=8&w=cheerful:1"))
    bodies = sent(page)
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    ask(page, "And yours?")
    expect(page.locator(DONE)).to_have_count(2)
    first = page.locator(".turn:not(.user)").first
    here = "Regenerate with these weights"
    expect(first.get_by_role("button", name=here)).to_be_hidden()
    page.get_by_role("slider", name="cheerful").press("PageUp")
    first.get_by_role("button", name=here).click()
    expect(first.locator(".who")).to_have_text("cheerful +2")
    expect(page.locator(DONE)).to_have_count(1)
    assert bodies[-1]["messages"] == bodies[0]["messages"]
    assert bodies[-1]["objective_weights"]["cheerful"] == 2
    expect(first.locator(".versions")).to_contain_text("2 of 2")
    first.get_by_role("button", name="Previous version").click()
    expect(page.locator(DONE)).to_have_count(2)
    expect(first.locator(".who")).to_have_text("cheerful +1")
    first.get_by_role("button", name="Regenerate", exact=True).click()
    expect(page.locator(DONE)).to_have_count(1)
    expect(first.locator(".versions")).to_contain_text("3 of 3")
    assert bodies[-1]["objective_weights"]["cheerful"] == 1, "as that answer was, and not as the sliders are"
    page.get_by_role("button", name="Edit").first.click()
    page.get_by_role("textbox", name="Edit message").fill("How was your week?")
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".said")).to_have_text("How was your week?")
    expect(page.locator(DONE)).to_have_count(1)
    page.reload()
    ready(page)
    page.locator(".turn.user").get_by_role("button", name="Previous version").click()
    expect(page.locator(".said")).to_have_text("How was your day?")
    expect(page.locator(".turn:not(.user) .versions")).to_contain_text("3 of 3")


def test_a_list_with_names_and_files(served: Served, open_page: OpenPage, tmp_path: Path) -> None:
    page = ready(open_page(f"{served.url}/#seed=1", width=1440))
    answers(page, "Fine.")
    for text in ("How was your day?", "What is new?"):
        ask(page, text)
        expect(page.locator(DONE)).to_have_count(1)
        page.get_by_role("button", name="New chat").click()
    page.get_by_role("button", name="Conversations").click()
    chats = page.get_by_role("navigation", name="Conversations")
    names = chats.locator(".chat-name")
    expect(names).to_have_text(["What is new?", "How was your day?"])
    check(page, "the list of conversations")
    chats.get_by_role("button", name="How was your day?", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("How was your day?")
    chats.get_by_role("button", name="Rename How was your day?").click()
    page.keyboard.type("A day <b>")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("A day <b>")
    with page.expect_download() as download:
        chats.get_by_role("button", name="Export").click()
    file = tmp_path / "kept.json"
    download.value.save_as(file)
    assert [each["title"] for each in json.loads(file.read_text())["conversations"]] == ["What is new?", "A day <b>"]
    chats.get_by_role("button", name="Delete A day <b>").click()
    chats.get_by_role("button", name="Delete A day <b> for good").click()
    expect(names).to_have_text(["What is new?"])
    expect(page.get_by_role("heading", level=1)).to_have_text("Steer the answer while it is written.")
    chats.locator("input[type=file]").set_input_files(file)
    expect(chats.get_by_role("status")).to_have_text("1 imported")
    chats.get_by_role("button", name="A day <b>", exact=True).click()
    assert visible_text(page, TEXT) == "Fine."
    file.write_text('{"kind": "mavis-conversations", "conversations": [{"version": 9}]}')
    chats.locator("input[type=file]").set_input_files(file)
    expect(chats.get_by_role("status")).to_have_text("0 imported, 1 could not be read")
    file.write_text("hello")
    chats.locator("input[type=file]").set_input_files(file)
    expect(chats.get_by_role("status")).to_contain_text("Not imported")


def test_a_broken_entry_costs_only_itself(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=1", width=1440))
    answers(page, "Fine.")
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    page.evaluate(
        """() => {
            const key = Object.keys(localStorage).find((each) => each.startsWith("mavis.chat."));
            const good = JSON.parse(localStorage.getItem(key));
            const put = (id, value) => localStorage.setItem("mavis.chat." + id, value);
            put("a", "{");
            put("b", JSON.stringify({ ...good, id: "b", version: 2 }));
            put("c", JSON.stringify({ ...good, id: "c", start: { role: "start", next: [{ role: "user" }] } }));
            const worn = structuredClone(good);
            Object.assign(worn, { id: "d", title: "Worn" });
            Object.assign(worn.start.next[0].next[0].answer, { spans: { names: 1 }, guidance: "x", marks: 7 });
            put("d", JSON.stringify(worn));
        }"""
    )
    page.reload()
    ready(page)
    names = page.locator(".chat-name")
    expect(names).to_have_count(2)
    page.get_by_role("button", name="Worn", exact=True).click()
    assert visible_text(page, TEXT) == "Fine."


def test_a_full_storage_is_said(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=1", width=1440))
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }; }")
    answers(page, "Fine.")
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    page.get_by_role("button", name="Conversations").click()
    expect(page.locator(".chats [role=status]")).to_contain_text("keeps nothing more")
