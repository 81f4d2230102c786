"""Which tokens may come next, and the rules of stop tokens."""

from __future__ import annotations

import pytest

from mavis_core.grammar.steps import Budget, shorten, told
from tests.structures import BYTE_EOS, BYTE_VOCAB, matcher, tokens_of

STOPS = (BYTE_EOS,)


def codes(text: str) -> set[int]:
    return set(text.encode())


def test_the_mask_is_what_the_grammar_accepts() -> None:
    found = matcher("json_schema", '{"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}}')
    for byte in b'{"a":"x\xc3\xa9':
        allowed = tokens_of(found.allowed(STOPS, False))
        assert byte in allowed
        assert allowed == {token for token in range(BYTE_VOCAB) if found.accepts(token)}
        found.advance(byte)


def test_stop_tokens_only_where_the_answer_is_complete() -> None:
    found = matcher("regex", "ab*")
    assert tokens_of(found.allowed(STOPS, False)) == codes("a")
    found.advance(ord("a"))
    assert tokens_of(found.allowed(STOPS, False)) == codes("b") | {BYTE_EOS}
    assert tokens_of(found.allowed((BYTE_EOS, ord("c")), False)) == codes("bc") | {BYTE_EOS}
    assert tokens_of(found.allowed(STOPS, True)) == codes("b"), "banned as long as something else can follow"
    assert tokens_of(found.allowed((), False)) == codes("b"), "ignore_eos"


def test_the_ban_yields_where_nothing_else_can_follow() -> None:
    for stops, allowed in ((STOPS, {BYTE_EOS}), ((ord("z"),), codes("z")), ((), {BYTE_EOS})):
        found = matcher("choice", '[""]')
        assert tokens_of(found.allowed(stops, True)) == allowed
        assert found.ended
        assert found.error is None


def test_a_requested_stop_token_is_never_text() -> None:
    found = matcher("choice", '["ab", "b"]')
    assert tokens_of(found.allowed((ord("b"),), False)) == codes("a")
    found.advance(ord("a"))
    found.allowed((ord("b"),), False)
    assert found.error is not None
    assert "stop_token_ids" in found.error


def test_a_copy_goes_its_own_way() -> None:
    found = matcher("regex", "a[bc]")
    found.advance(ord("a"))
    other = found.copy()
    other.advance(ord("b"))
    assert (found.complete, other.complete, other.exhausted) == (False, True, True)
    assert tokens_of(found.allowed(STOPS, False)) == codes("bc")


def test_a_token_that_is_not_allowed_is_an_error() -> None:
    found = matcher("regex", "a")
    found.advance(ord("b"))
    assert found.error is not None
    assert found.allowed(STOPS, False).count(0) == 0, "whatever is drawn, the row ends"


@pytest.mark.parametrize(
    ("message", "short"), [("a\n  b <non-verbose/>", "a b"), ("x" * 300, "x" * 300), ("x" * 301, "x" * 299 + "…")]
)
def test_messages_are_one_short_line(message: str, short: str) -> None:
    assert shorten(message) == short


@pytest.mark.parametrize(
    "message",
    [
        "panic: attempt to divide by zero\n<backtrace>\n0: rust_begin_unwind at /rustc/x/std/src/panicking.rs:1",
        "lexer error: called `Option::unwrap()` on a `None` value at /home/x/.cargo/registry/src/y/relevance.rs:7:9",
    ],
)
def test_a_panic_of_the_library_is_logged_and_not_told(message: str, caplog: pytest.LogCaptureFixture) -> None:
    assert told(message) == "the grammar library failed on it"
    assert message in caplog.text


AMBIGUOUS = 'start: s\ns: s s s | s s | "a" | "b" |\n'


def test_a_grammar_that_is_slow_at_every_step_ends_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is within the library's limits; together they would take minutes."""
    monkeypatch.setattr(Budget, "RESERVE", 0.1)
    found = matcher("grammar", AMBIGUOUS)
    for _ in range(200):
        if found.error is None:
            found.allowed(STOPS, True)
        if found.error is None:
            found.advance(ord("a"))
    assert found.error is not None
    assert "takes too long" in found.error


def test_choices_of_a_request_share_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "RESERVE", 0.0)
    monkeypatch.setattr(Budget, "PER_TOKEN", 0.0)
    found = matcher("regex", "a*")
    other = found.copy()
    found.allowed(STOPS, False)
    other.allowed(STOPS, False)
    assert other.error is not None


def test_a_usual_grammar_stays_within_its_budget() -> None:
    found = matcher("json_schema", '{"type": "array", "items": {"type": "string"}}')
    for byte in b'["' + b"a" * 5000 + b'"]':
        found.allowed(STOPS, False)
        found.advance(byte)
    assert found.error is None
    assert found.complete


def test_free_text_is_told_from_literals() -> None:
    found = matcher("json_schema", '{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}')
    free = []
    for byte in b'{"a":"x ':
        free.append(found.free)
        found.advance(byte)
    assert free == [False] * 6 + [True, True]
    assert found.free and found.copy().free
    found.begin(ord('"'))
    assert not found.free, "what was asked before the step does not count behind it"
