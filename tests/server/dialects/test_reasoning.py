"""Reasoning taken out of the text, in any pieces, and what prompts say about it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mavis_core.api.reasoning import Reasoning
from server.reasoning.markers import KNOWN, chosen
from server.reasoning.reader import ReasoningReader
from server.tools.formats.hermes import HERMES
from server.tools.reader import PlainReader
from tests.server.dialects.forms import cut, joined, read
from tests.server.tools import ARGUMENTS, CALL

THINK = Reasoning("<think>", "</think>")
OPENED = Reasoning("<think>", "</think>", opened=True)


@pytest.mark.parametrize(
    ("reasoning", "text", "expected"),
    [
        (THINK, "<think>\nhm\n\nso\n</think>\n\nHi <b> you\n", [["hm\n\nso"], "Hi <b> you\n"]),
        (THINK, "\n <think>hm", [["hm"]]),
        (THINK, "<think>hm </thin", [["hm </thin"]]),
        (THINK, "<think>\n\n</think>\n\nHi", ["Hi"]),
        (THINK, "<think></think>", []),
        (THINK, "Hi <think>hm</think>", ["Hi <think>hm</think>"]),
        (THINK, "  <thin", ["  <thin"]),
        (THINK, "", []),
        (OPENED, "hm</think>Hi", [["hm"], "Hi"]),
        (OPENED, "\n<think>hm</think>Hi", [["hm"], "Hi"]),
        (OPENED, "</think>\nHi", ["Hi"]),
        (OPENED, "hm < </ </think", [["hm < </ </think"]]),
        (OPENED, " \n ", []),
        (OPENED, f"<tool_call> first</think>\n{CALL}", [["<tool_call> first"], ("weather", ARGUMENTS)]),
        (OPENED, f"hm</think>so\n{CALL}\n", [["hm"], "so\n", ("weather", ARGUMENTS)]),
    ],
)
def test_reading(reasoning: Reasoning, text: str, expected: list[Any]) -> None:
    chance = random.Random(3)
    inner = HERMES.reader if "tool_call" in text else PlainReader
    assert joined(read(ReasoningReader(reasoning, inner()), [text])) == expected
    for pieces in (list(text) or [""], *(cut(text, chance) for _ in range(20))):
        assert joined(read(ReasoningReader(reasoning, inner()), pieces)) == expected, pieces
        assert joined(read(ReasoningReader(reasoning, inner()), [*pieces, ""])) == expected, pieces


@pytest.mark.parametrize(
    ("name", "prompt", "continued", "opened"),
    [
        ("think", "user: hi\nassistant:", "", False),
        ("think", "assistant: <think>\n", "", True),
        ("think", "assistant: <think>\n\n</think>\n\n", "", None),
        ("think", "user: <think> about it\nassistant:", "", False),
        ("think", "assistant: so", "so", None),
        ("think", "assistant: <think>so", "<think>so", True),
        ("think", "assistant: <think>so</think>hm", "<think>so</think>hm", None),
        ("think", "assistant: <think>\n", " \n", True),
        ("deepseek_r1", "assistant:", "", True),
        ("deepseek_r1", "assistant:</think>", "", None),
        ("deepseek_r1", "assistant:so", "so", True),
        ("mistral", "assistant:[THINK]", "", True),
    ],
)
def test_prompts_say_whether_an_answer_reasons(name: Any, prompt: str, continued: str, opened: bool | None) -> None:
    found = KNOWN[name].reasoning(prompt, continued)
    assert (None if found is None else found.opened) == opened


@pytest.mark.parametrize(
    ("template", "begin"),
    [
        ("{% if enable_thinking %}<think>{% endif %}", "<think>"),
        ("{{ m.content.split('</think>')[-1] }}", "<think>"),
        ("[THINK]", "[THINK]"),
        ("<seed:think>", "<seed:think>"),
        ("{{ thinking }}", None),
    ],
)
def test_a_template_tells_the_marks(template: str, begin: str | None) -> None:
    found, why = chosen("auto", template)
    assert (found and found.begin) == begin
    assert why.startswith("the chat template has ")
    assert chosen("none", template) == (None, "--reasoning-parser")
    assert chosen("deepseek_r1", template)[0] == KNOWN["deepseek_r1"]
