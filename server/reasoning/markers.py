"""The marks that models put around their reasoning, and the choice among them.

Where an answer begins depends on the prompt: a template may have opened the reasoning already, or closed it, which is
how most are told not to think.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mavis_core.api.reasoning import Reasoning

ReasoningParser = Literal["auto", "none", "think", "qwen3", "deepseek_r1", "mistral", "seed_oss"]


@dataclass(frozen=True, slots=True)
class Markers:
    """``at_once``: an answer begins with reasoning even where neither it nor the prompt says so."""

    begin: str
    end: str
    at_once: bool = False

    def reasoning(self, prompt: str, continued: str) -> Reasoning | None:
        """How an answer reasons from here on; None where it does not.

        Args:
            prompt: the end of what the model reads.
            continued: what there is already of the answer; "" where it begins.
        """
        if continued.strip():
            begin, end = continued.rfind(self.begin), continued.rfind(self.end)
            inside = begin > end or (self.at_once and end < 0)
            return Reasoning(self.begin, self.end, opened=True) if inside else None
        there = prompt.rstrip()
        if there.endswith(self.end):
            return None
        return Reasoning(self.begin, self.end, opened=there.endswith(self.begin) or self.at_once)


KNOWN: dict[ReasoningParser, Markers] = {
    "think": Markers("<think>", "</think>"),
    "qwen3": Markers("<think>", "</think>"),
    "deepseek_r1": Markers("<think>", "</think>", at_once=True),
    "mistral": Markers("[THINK]", "[/THINK]"),
    "seed_oss": Markers("<seed:think>", "</seed:think>"),
}


def chosen(parser: ReasoningParser, template: str) -> tuple[Markers | None, str]:
    """The marks that ``parser`` names, or those that ``template`` has, and why."""
    if parser != "auto":
        return KNOWN.get(parser), "--reasoning-parser"
    for markers in KNOWN.values():
        for mark in (markers.begin, markers.end):
            if mark in template:
                return markers, f"the chat template has {mark}"
    return None, "the chat template has no marks of it"
