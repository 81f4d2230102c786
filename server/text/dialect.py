"""How a model writes what is not plain text: calls of tools, and its reasoning. Read off its chat template, or told.

Some of these marks are special tokens, which answers leave out. A request that needs them asks for them to be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mavis_core.api.reasoning import Reasoning
from mavis_core.api.sampling_params import SamplingParams
from server.reasoning import markers
from server.reasoning.markers import Markers, ReasoningParser
from server.reasoning.reader import ReasoningReader
from server.tools.formats import known
from server.tools.formats.format import ToolFormat, is_apart
from server.tools.formats.known import ToolParser
from server.tools.parts import Reader
from server.tools.reader import reader_for
from server.tools.use import ToolUse


@dataclass(frozen=True, slots=True)
class Dialect:
    """Attributes:
    calls: how the model writes calls.
    marks: what it puts around its reasoning; None where it has none.
    special: marks that are tokens which a grammar does not take for text, by their spelling.
    told: what was chosen and why, in one line.
    """

    calls: ToolFormat
    marks: Markers | None
    special: Mapping[str, int]
    told: str

    @classmethod
    def of(cls, backend: Any, template: str, tools: ToolParser, reasoning: ReasoningParser) -> Dialect:
        """``backend``: a ``tokenizers.Tokenizer``."""
        calls, why_calls = known.chosen(tools, template)
        marks, why_marks = markers.chosen(reasoning, template)
        spelled = {*calls.markers, *((marks.begin, marks.end) if marks else ())}
        added = backend.get_added_tokens_decoder()
        special = {token.content: i for i, token in added.items() if token.content in spelled and is_apart(token)}
        named = "none" if marks is None else f"{marks.begin}…{marks.end}"
        told = f"tool calls: {calls.name} ({why_calls}); reasoning: {named} ({why_marks})"
        return cls(calls, marks, special, told)

    def reader(self, tools: ToolUse, reasoning: Reasoning | None) -> Reader:
        """A reader of one answer."""
        answer = reader_for(tools, self.calls)
        return answer if reasoning is None else ReasoningReader(reasoning, answer)

    def shown(self, sampling: SamplingParams, tools: ToolUse) -> SamplingParams:
        """``sampling`` with the special tokens in its text that a reader has to see."""
        spelled = {*(() if tools.mode == "none" else self.calls.markers)}
        if sampling.reasoning is not None:
            spelled |= {sampling.reasoning.begin, sampling.reasoning.end}
        return replace(sampling, shown_token_ids=tuple(i for text, i in self.special.items() if text in spelled))
