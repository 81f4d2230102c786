"""A text that a search has found so far, and how it is continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mavis_core.api.messages import ChoiceDelta, FinishReason, GuidanceStats, TokenLogprobs, TokenReport


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Attributes: score: set once its text is; higher is better. ``guidance`` sums over all its tokens."""

    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    reports: tuple[TokenReport, ...] = ()
    guidance: GuidanceStats | None = None
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    score: float = 0.0

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None

    @classmethod
    def of(cls, deltas: Sequence[ChoiceDelta]) -> Hypothesis:
        """The text of a finished choice of a request; its last delta has the totals."""
        return cls(
            token_ids=tuple(token for delta in deltas for token in delta.token_ids),
            logprobs=tuple(position for delta in deltas for position in delta.logprobs),
            reports=tuple(report for delta in deltas for report in delta.reports),
            guidance=deltas[-1].guidance,
            finish_reason=deltas[-1].finish_reason,
            stop_reason=deltas[-1].stop_reason,
        )

    def follow(self, part: Hypothesis) -> Hypothesis:
        """``part``, which began where this one ends, as one text; not scored yet."""
        return replace(
            part,
            token_ids=self.token_ids + part.token_ids,
            logprobs=self.logprobs + part.logprobs,
            reports=self.reports + part.reports,
            guidance=_add(self.guidance, part.guidance),
            score=0.0,
        )


def common_length(hypotheses: Sequence[Hypothesis], known: int = 0) -> int:
    """How many first tokens all hypotheses share, which is at least ``known``."""
    texts = [h.token_ids for h in hypotheses]
    length = known
    while length < min(map(len, texts)) and len({text[length] for text in texts}) == 1:
        length += 1
    return length


def _add(first: GuidanceStats | None, second: GuidanceStats | None) -> GuidanceStats | None:
    """Totals of two stretches of one text: sums add up, means are weighted by tokens."""
    if first is None or second is None:
        return first or second
    tokens = first.tokens + second.tokens

    def mean(a: float, b: float) -> float:
        return (a * first.tokens + b * second.tokens) / max(tokens, 1)

    return GuidanceStats(
        beta=second.beta,
        tokens=tokens,
        steering_nats=first.steering_nats + second.steering_nats,
        truncation_nats=first.truncation_nats + second.truncation_nats,
        sampled_nats=first.sampled_nats + second.sampled_nats,
        values={name: mean(value, second.values[name]) for name, value in first.values.items()},
        topk_base_mass=mean(first.topk_base_mass, second.topk_base_mass),
        value_spread={name: mean(spread, second.value_spread[name]) for name, spread in first.value_spread.items()},
        companion_tokens=first.companion_tokens + second.companion_tokens,
    )
