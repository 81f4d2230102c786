"""The log-probabilities of an echoed prompt under the weights: its first token is a prompt, the others a given answer.

They are of the tilt alone, as an unguided echo is of the model alone: at temperature 1, no filter, no bias, no penalty.
And of all tokens: the candidates share what they have together in the base model as the weights say, and every other
token keeps what it has there. So all log-probabilities are finite and add up to 1, at weights 0 they are the base
model's, and what a task loses by the weights is not what it loses by having no candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mavis_core.api.messages import TokenLogprobs, TokenReport
from server.answers.guidance_report import token_reports
from server.answers.scored_text import ScoredText
from server.text.token_text import Reading


@dataclass(frozen=True, slots=True)
class SteeredEcho:
    """Of one prompt; a prompt of one token has nothing to score."""

    text: ScoredText

    @property
    def logprobs(self) -> list[TokenLogprobs | None]:
        """One for each token; None for the first."""
        both = zip(self.text.logprobs, self.text.reports, strict=True)
        return [None, *(_whole(position, report) for position, report in both)]

    def told(self, reading: Reading | None) -> dict[str, Any]:
        """``EchoGuidance``: what it would have cost to draw there, where the candidates are all there is.

        Args:
            reading: behind the first token, to tell of each token; None where that is not asked for.
        """
        reports, stats = self.text.reports, self.text.guidance
        steering, truncation = (stats.steering_nats, stats.truncation_nats) if stats else (0.0, 0.0)
        kl = steering + truncation
        made = {
            "scored": len(reports),
            "outside": self.text.outside,
            "kl_nats": kl,
            "kl_per_token": kl / len(reports) if reports else 0.0,
            "steering_nats": steering,
            "truncation_nats": truncation,
            "values": stats.values if stats else {},
        }
        return made if reading is None else made | {"tokens": token_reports(reading, reports)}


def _whole(position: TokenLogprobs, report: TokenReport) -> TokenLogprobs:
    """log p over the vocabulary: log p(a) + log ref(C) of a candidate, log ref(a) of any other token."""
    mass = -report.truncation_nats
    own = report.base_logprob if report.logprob == float("-inf") else report.logprob + mass
    top = tuple((token, logprob + mass) for token, logprob in position.top)
    return TokenLogprobs(position.token_id, own, top, own)
