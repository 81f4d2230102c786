"""What an answer needs to know of its request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mavis_core.api.sampling_params import SamplingParams
from mavis_core.text.reasoning import ReasoningTracker
from server.text.dialect import Dialect
from server.text.token_text import Reading, TokenText
from server.weights import Weights


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """Attributes:
    model: the name that the client used.
    prompts: token ids; the answer has ``sampling.n`` choices for each.
    bounded: fields that the operator's bounds have changed, and what they are instead.
    left_out: what of the request was ignored, as it is known by then; None: not to be told.
    """

    model: str
    fingerprint: str
    weights: Weights
    sampling: SamplingParams
    wants_report: bool
    prompts: tuple[tuple[int, ...], ...]
    token_text: TokenText
    dialect: Dialect
    bounded: Mapping[str, Any] = field(default_factory=dict)
    left_out: Callable[[], list[str]] | None = None
    include_usage: bool = False
    continuous_usage: bool = False
    obfuscated: bool = False

    def tracker(self) -> ReasoningTracker | None:
        """Of an answer's reasoning; None where it has none."""
        reasoning = self.sampling.reasoning
        return None if reasoning is None else self.token_text.tracker(reasoning)

    def reading(self, prompt: int) -> Reading:
        """A reader of the tokens of an answer to prompt number ``prompt``."""
        return self.token_text.reading(self.sampling.skip_special_tokens, self.prompts[prompt])
