"""A text on its way through a search, and how one goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mavis_core.messages import ChoiceDelta, FinishReason, GuidanceStats, TokenLogprobs, TokenReport


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

    def grow(self, delta: ChoiceDelta) -> Hypothesis:
        """With what one engine step brought; its ``guidance`` has the totals since the request began."""
        return replace(
            self,
            token_ids=self.token_ids + delta.token_ids,
            logprobs=self.logprobs + delta.logprobs,
            reports=self.reports + delta.reports,
            guidance=delta.guidance,
            finish_reason=delta.finish_reason,
            stop_reason=delta.stop_reason,
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


def common_length(hypotheses: Sequence[Hypothesis]) -> int:
    """How many first tokens all of them share."""
    first, *others = (h.token_ids for h in hypotheses)
    return next(
        (i for i, token in enumerate(first) if any(other[i : i + 1] != (token,) for other in others)), len(first)
    )


def _add(first: GuidanceStats | None, second: GuidanceStats | None) -> GuidanceStats | None:
    """Totals of two stretches of one text: sums add up, means are weighted by tokens."""
    if first is None or second is None:
        return first or second
    tokens = first.tokens + second.tokens

    def mean(a: float, b: float) -> float:
        return (a * first.tokens + b * second.tokens) / tokens

    return GuidanceStats(
        beta=second.beta,
        tokens=tokens,
        steering_nats=first.steering_nats + second.steering_nats,
        truncation_nats=first.truncation_nats + second.truncation_nats,
        sampled_nats=first.sampled_nats + second.sampled_nats,
        values={name: mean(value, second.values[name]) for name, value in first.values.items()},
        topk_base_mass=mean(first.topk_base_mass, second.topk_base_mass),
        value_spread={name: mean(spread, second.value_spread[name]) for name, spread in first.value_spread.items()},
    )
