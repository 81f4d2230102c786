"""A prompt that is told something: where the instruction goes, by what the tokenizer's template does."""

from __future__ import annotations

import pytest

from mavis_core.api.errors import RunError
from mavis_core.text.instruction import Place
from tests.vocabularies import byte_tokenizer
from value_models.prompts import Prompt, place_of

CHAT = Prompt.chat([{"role": "user", "content": "hi"}])
LINES = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '|' }}{% endfor %}"
OWN = "{% if messages[0]['role'] != 'system' %}system: Be good.|{% endif %}" + LINES
USERS = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + LINES


@pytest.mark.parametrize(
    ("template", "place", "told"),
    [
        (LINES, Place("system"), "system: Be low.|user: hi|"),
        (OWN, Place("system", "Be good."), "system: Be good.\n\nBe low.|user: hi|"),
        (USERS, Place("user"), "user: Be low.\n\nhi|"),
    ],
    ids=["system", "a system text of its own", "no system"],
)
def test_an_instruction_goes_where_the_template_takes_it(template: str, place: Place, told: str) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    assert place_of(tokenizer) == place
    assert tokenizer.decode(CHAT.told(" Be low.", place).encode(tokenizer)) == told


def test_it_ends_a_system_message_that_is_there_and_begins_the_first_user_message() -> None:
    system = Prompt.chat([{"role": "system", "content": "Here."}, *CHAT.messages])
    assert system.told("Be low.", Place("system", "Be good.")).messages == (
        {"role": "system", "content": "Here.\n\nBe low."},
        *CHAT.messages,
    )
    longer = Prompt.chat([*CHAT.messages, {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "so"}])
    said = [message["content"] for message in longer.told("Be low.", Place("user")).messages]
    assert said == ["Be low.\n\nhi", "yes?", "so"] and longer.text == "so"


def test_what_cannot_carry_an_instruction_is_refused() -> None:
    with pytest.raises(RunError, match="'say 1': is a plain text; only a conversation"):
        Prompt("say 1").told("Be low.", Place("system"))
    tokenizer = byte_tokenizer()
    assert place_of(tokenizer) is None
    with pytest.raises(RunError, match="no chat template that takes an instruction"):
        CHAT.told("Be low.", None)
