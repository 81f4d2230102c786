"""The README's answers are written by a script: it asks what the page asks, and leaves the rest of it alone."""

from __future__ import annotations

import re

from scripts.readme_answers import EXAMPLE, README, SESSION, WIDTH, answered, wrapped
from tests.server.conftest import Live, live, serve
from tests.server.fake_engine import SCRIPT

__all__ = ["live", "serve"]


def test_answers_are_written_where_they_stand(live: Live) -> None:
    before = README.read_text(encoding="utf-8")
    after = answered(before, live.url)
    assert answered(after, live.url) == after, "the seeds stand in it"
    assert without_answers(after) == without_answers(before)
    session, example = SESSION.search(after), EXAMPLE.search(after)
    assert session and example
    typed = [line for line in session[2].splitlines() if line.startswith("> ")]
    assert typed == [line for line in before.splitlines() if line.startswith("> ")]
    asked = [line for line in typed if not line.startswith("> /")]
    assert session[2].count(SCRIPT.decode()) == len(asked) > 2
    assert session[2].startswith("> "), "not the list of objectives that comes before"
    assert SCRIPT.decode() in example[3] and "'kl_nats'" in example[3]


def test_lines_are_wrapped() -> None:
    text = wrapped("\n".join(["x " * WIDTH, "", "short "]))
    assert [len(line) <= WIDTH for line in text.splitlines()] == [True] * 4
    assert text.endswith("x\n\nshort\n")


def without_answers(page: str) -> str:
    page = re.sub(r"(?<=```console\n).*?(?=```)", "", page, count=1, flags=re.DOTALL)
    return EXAMPLE.sub(r"\1", page, count=1)
