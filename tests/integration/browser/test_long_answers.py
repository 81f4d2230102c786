"""A token costs at the end of a long answer what it costs at its beginning: counted, as times depend on the machine."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from benchmarks.page import STREAM
from tests.integration.browser.conftest import OpenPage, ask, ready
from tests.integration.browser.test_page import DONE
from tests.integration.conftest import Served

PARAGRAPH = "The thrush **sings** while `it` is written, and so on.\n"
TEXTS = {
    "lines": PARAGRAPH,
    "paragraphs": PARAGRAPH + "\n",
    "list": "- the thrush *sings* while it is written\n",
    "code": "    if thrush.sings():  # and so on\n",
    "line": "the thrush sings while it is written and so on and ",
}
# Draws a text of tokens four at a time: nodes made and taken away, and characters read, per token, at the beginning and
# at the end.
GROWING = """async ([start, line, times]) => {
  const { Prose } = await import("/playground/app/text/prose.js");
  const { Lexer } = await import("/playground/vendor/marked.js");
  const { lex } = Lexer.prototype;
  let read = 0, touched = 0;
  Lexer.prototype.lex = function (source) { read += source.length; return lex.call(this, source); };
  const tokens = (start + line.repeat(times)).match(/\\s*\\S+|\\s+$/g);
  const prose = new Prose();
  const watch = new MutationObserver(() => {});
  watch.observe(prose.element, { childList: true, subtree: true, characterData: true });
  const all = (nodes) => [...nodes].reduce((sum, node) => sum + 1 + (node.querySelectorAll?.("*").length ?? 0), 0);
  const counted = [];
  const report = { token_id: 1, logprob: -1, base_logprob: -2, steering_nats: 0.1, truncation_nats: 0, values: {} };
  for (let i = 0; i < tokens.length; i += 4) {
    prose.add(tokens.slice(i, i + 4).map((text) => ({ text, reports: [{ ...report, token: text }] })));
    prose.draw();
    touched = 0;
    for (const { addedNodes, removedNodes } of watch.takeRecords()) touched += all(addedNodes) + all(removedNodes);
    counted.push([touched, read]);
    read = 0;
  }
  Lexer.prototype.lex = lex;
  const most = (part) => [0, 1].map((which) => Math.max(...part.map((each) => each[which])));
  const mean = (part) => [0, 1].map((which) => part.reduce((sum, each) => sum + each[which], 0) / part.length);
  const third = Math.floor(counted.length / 3);
  const kept = prose.element.querySelectorAll(".token").length;
  const [first, last] = [mean(counted.slice(0, third)), mean(counted.slice(-third))];
  return { tokens: tokens.length, kept, first, last, most: most(counted) };
}"""


@pytest.mark.parametrize("kind", TEXTS)
def test_work_per_draw_does_not_grow(served: Served, open_page: OpenPage, kind: str) -> None:
    page = ready(open_page(f"{served.url}/#seed=1"))
    found: dict[str, Any] = page.evaluate(GROWING, ["```py\n" if kind == "code" else "", TEXTS[kind], 300])
    assert found["tokens"] > 1000 and found["kept"] > 0.8 * found["tokens"]
    (touched, read), (touched_late, read_late) = found["first"], found["last"]
    assert touched_late < 1.2 * touched and touched_late < 16, "nodes per four tokens"
    if kind != "line":  # which is read as a whole, until it is broken
        assert read_late < 1.2 * read and found["most"][1] < 800, "characters read per draw"


# From now on: how often answers are drawn, figures written and the end followed, and how many frames there were.
COUNTING = """async () => {
  const { Prose } = await import("/playground/app/text/prose.js");
  const { Readout } = await import("/playground/app/explain/readout.js");
  window.seen = { frames: 0, draw: 0, show: 0, scrollTo: 0 };
  const watched = [[Prose.prototype, "draw"], [Readout.prototype, "show"], [Element.prototype, "scrollTo"]];
  for (const [owner, name] of watched) {
    const real = owner[name];
    owner[name] = function (...given) { window.seen[name] += 1; return real.apply(this, given); };
  }
  const tick = () => { window.seen.frames += 1; requestAnimationFrame(tick); };
  tick();
}"""

# What is put into the conversation from now on, or taken out.
MOVING = """answer => {
  const seen = [];
  const watch = new MutationObserver((records) => seen.push(...records));
  watch.observe(answer.closest(".transcript"), { childList: true });
  return seen;
}"""


def test_once_per_frame_and_what_is_there_stays(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#seed=1&w=cheerful:1&n=8"))
    ask(page, "How was your day?")
    expect(page.locator(DONE)).to_have_count(1)
    first = page.locator(DONE).element_handle()
    page.evaluate("window.longTasks = []")  # which the stream empties
    page.evaluate(STREAM, [2000, 1])
    page.evaluate(COUNTING)
    moved = page.evaluate_handle(MOVING, first)
    ask(page, "Sing.")
    expect(page.locator(DONE)).to_have_count(2)
    assert page.locator(DONE).last.locator(".token").count() == 2000
    seen: dict[str, int] = page.evaluate("window.seen")
    assert max(seen["draw"], seen["show"]) <= seen["frames"] + 2 < 1000, seen
    assert seen["scrollTo"] <= seen["frames"] + 4, seen
    assert not page.evaluate(
        "([all, answer]) => all.some(({ removedNodes }) => [...removedNodes].some((node) => node.contains(answer)))",
        [moved, first],
    ), "the answer before is not moved"
