"""A text that was given and not generated, with what the engine says of its tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from mavis_core.api.messages import ChoiceDelta, GuidanceStats, TokenLogprobs, TokenReport


@dataclass(slots=True)
class ScoredText:
    """One given text: per token what steering did, and its alternatives where the request asks for them.

    Attributes:
        guidance: None where nothing steered.
        cached_tokens: of its prompt, read from the prefix cache.
    """

    reports: list[TokenReport] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    guidance: GuidanceStats | None = None
    cached_tokens: int = 0

    @property
    def outside(self) -> int:
        """Tokens that could not have been drawn."""
        return sum(report.logprob == float("-inf") for report in self.reports)

    def take(self, delta: ChoiceDelta) -> None:
        """Add what the engine says of its next tokens."""
        self.reports += delta.reports
        self.logprobs += delta.logprobs
        self.guidance = delta.guidance
