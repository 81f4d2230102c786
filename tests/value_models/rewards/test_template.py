"""What a classifier reads of a conversation and a response, by its template."""

from __future__ import annotations

from pathlib import Path

import pytest

from mavis_core.api.errors import RewardError
from value_models.prompts import Prompt
from value_models.rewards.registry import RewardConfig, build
from value_models.rewards.template import Template

DIALOGUE = Template.of("helpful", "\n\nHuman: {prompt}\n\nAssistant: {response}", "prompt+response")


def said(*turns: tuple[str, str]) -> Prompt:
    return Prompt.chat([{"role": role, "content": text} for role, text in turns])


def test_one_question_whether_it_is_a_conversation_or_plain_text() -> None:
    for prompt in (Prompt("Why?"), said(("user", "Why?"))):
        assert DIALOGUE.filled(prompt, "So.") == "\n\nHuman: Why?\n\nAssistant: So."


def test_what_was_said_before_stands_in_front() -> None:
    prompt = said(("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Well,"), ("user", "why?"))
    expected = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Well,\nwhy?\n\nAssistant: So."
    assert DIALOGUE.filled(prompt, "So.") == expected
    opened = said(("assistant", "Hello"), ("user", "Hi"))
    assert DIALOGUE.filled(opened, "So.") == "\n\nHuman: \n\nAssistant: Hello\n\nHuman: Hi\n\nAssistant: So."


def test_a_template_without_the_prompt_has_nothing_in_front() -> None:
    prompt = said(("user", "Hi"), ("assistant", "Hello"), ("user", "Why?"))
    assert Template.of("kind", "Review: {response}", "response").filled(prompt, "So.") == "Review: So."


def test_braces_and_backslashes_in_what_is_said_are_text() -> None:
    prompt = said(("user", "{response}"), ("assistant", "{prompt} \\1"), ("user", "{prompt}{response}"))
    expected = "\n\nHuman: {response}\n\nAssistant: {prompt} \\1\n\nHuman: {prompt}{response}\n\nAssistant: \\g<0>{x}"
    assert DIALOGUE.filled(prompt, "\\g<0>{x}") == expected


@pytest.mark.parametrize(
    ("template", "reads", "message"),
    [
        ("{prompt}", "prompt+response", r"must have \{response\} in it$"),
        ("", "prompt+response", r"must have \{response\} in it$"),
        ("{response}", "prompt+response", r"must have \{prompt\} in it where reads=prompt\+response$"),
        ("{prompt} {response}", "response", r"must not have \{prompt\} in it where reads=response$"),
        (
            "{question} {response} {}",
            "response",
            r"has \{question\}, \{\}: only \{prompt\} and \{response\} are filled in$",
        ),
    ],
)
def test_bad_templates_are_refused_before_the_model_is_looked_for(
    template: str, reads: str, message: str, tmp_path: Path
) -> None:
    config = RewardConfig(classifier="/no/such", template=template, reads=reads)  # type: ignore[arg-type]
    with pytest.raises(RewardError, match=rf"reward 'tone': template=.*: {message}"):
        build({"tone": config}, tmp_path)
