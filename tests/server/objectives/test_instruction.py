"""Where an instruction goes, by chat templates as they are in the world."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import TemplateError

from mavis_core.api.errors import InvalidRequestError
from server.objectives.instruction import Place, find_place, instructed
from server.protocol.messages import ChatMessage
from tests.server.fake_engine import TEMPLATE, FakeTokenizer

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
OWN = "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a fake.<|im_end|>\n{% endif %}" + CHATML
IN_USER = (  # Gemma 3, Mistral: the system text stands in the first user's turn
    "{% set first = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}"
    "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ first if loop.first }}{{ m.content }}{% endfor %}"
)
REFUSING = (  # Gemma 2
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
DROPPING = "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}"
DEAF = "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}{% endif %}{% endfor %}"


def find(template: str) -> Place | None:
    def render(entries: list[dict[str, Any]]) -> str:
        try:
            return FakeTokenizer().apply_chat_template(entries, tokenize=False, chat_template=template)
        except TemplateError as error:
            raise InvalidRequestError(str(error)) from None

    return find_place(render)


@pytest.mark.parametrize(
    ("template", "place"),
    [
        (TEMPLATE, Place("system")),
        (CHATML, Place("system")),
        (OWN, Place("system", "You are a fake.")),
        (IN_USER, Place("system")),
        (REFUSING, Place("user")),
        (DROPPING, Place("user")),
        (DEAF, None),
    ],
    ids=["fake", "chatml", "own system text", "in the user's turn", "refusing", "dropping", "deaf"],
)
def test_the_place_is_found_by_trying(template: str, place: Place | None) -> None:
    assert find(template) == place


def said(*messages: tuple[Any, str]) -> list[ChatMessage]:
    return [ChatMessage(role=role, content=content) for role, content in messages]


ASKED = said(("user", "hi"), ("assistant", "yes?"), ("user", "why"))


@pytest.mark.parametrize(
    ("messages", "place", "expected"),
    [
        (ASKED, Place("system"), [*said(("system", "Be kind.")), *ASKED]),
        (ASKED, Place("system", "I am a fake."), [*said(("system", "I am a fake.\n\nBe kind.")), *ASKED]),
        (
            [*said(("system", "You are old.")), *ASKED],
            Place("system", "I am a fake."),
            [*said(("system", "You are old.\n\nBe kind.")), *ASKED],
        ),
        ([*said(("developer", "Old.")), *ASKED], Place("system"), [*said(("developer", "Old.\n\nBe kind.")), *ASKED]),
        ([*said(("system", " ")), *ASKED], Place("system"), [*said(("system", "Be kind.")), *ASKED]),
        (ASKED, Place("user"), [*said(("user", "Be kind.\n\nhi")), *ASKED[1:]]),
        (said(("assistant", "yes?")), Place("user"), said(("user", "Be kind."), ("assistant", "yes?"))),
    ],
)
def test_an_instruction_joins_the_message_that_takes_it(
    messages: list[ChatMessage], place: Place, expected: list[ChatMessage]
) -> None:
    before = [message.model_copy() for message in messages]
    found = instructed(messages, "  Be kind.\n", place)
    assert [(m.role, m.text) for m in found] == [(m.role, m.text) for m in expected]
    assert messages == before, "the request's own messages stay as they are"


@pytest.mark.parametrize("nothing", ["", " ", "\n\t "])
def test_an_instruction_that_says_nothing_changes_nothing(nothing: str) -> None:
    for place in (Place("system", "I am a fake."), Place("user")):
        assert instructed(ASKED, nothing, place) is ASKED
