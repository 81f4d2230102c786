"""What steering did, in the form that answers have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mavis_core.api.messages import GuidanceStats, SteeringChange, TokenReport
from server.answers.context import AnswerContext
from server.text.token_text import Reading


def guidance_report(
    context: AnswerContext,
    stats: GuidanceStats | None,
    tokens: list[dict[str, Any]],
    changes: Sequence[SteeringChange] = (),
) -> dict[str, Any]:
    """``ChoiceGuidance``; ``stats`` is None for an unguided choice, ``tokens`` of ``token_reports``.

    Where the steering was changed meanwhile, weights and beta are those in force at the end.
    """
    steering, truncation = (stats.steering_nats, stats.truncation_nats) if stats else (0.0, 0.0)
    kl = steering + truncation
    report: dict[str, Any] = {
        "weights": changes[-1].guidance.weights if changes else context.weights.values,
        "source": "patch" if changes else context.weights.source,
        "beta": stats.beta if stats else 0.0,
        "kl_nats": kl,
        "kl_per_token": kl / stats.tokens if stats and stats.tokens else 0.0,
        "steering_nats": steering,
        "truncation_nats": truncation,
        "steered_tokens": stats.tokens if stats else 0,
        "values": stats.values if stats else {},
    }
    if context.bounded:
        report["bounded"] = context.bounded
    if stats and stats.companion_tokens:
        report["companion_tokens"] = stats.companion_tokens
    if stats and stats.found_weights is not None:
        report |= {"found_weights": stats.found_weights, "floors_missed": stats.floors_missed}
    if stats and stats.search:
        report["search"] = asdict(stats.search)
    if changes:
        report["changes"] = [change_report(change) for change in changes]
    if context.left_out is not None:
        report["ignored"] = context.left_out()
    return report | {"tokens": tokens} if context.wants_report else report


def change_report(change: SteeringChange) -> dict[str, Any]:
    """``SteeringChanged``."""
    guidance = change.guidance
    return {
        "token": change.token,
        "weights": guidance.weights,
        "beta": change.beta,
        "max_kl_per_token": guidance.max_kl_per_token,
    }


def token_reports(reading: Reading, reports: Sequence[TokenReport]) -> list[dict[str, Any]]:
    """The per-token reports; ``reading`` stands before these tokens and moves on behind them."""
    return [_told(reading, report) for report in reports]


def finite(logprob: float) -> float | None:
    """None for -inf, which JSON has no word for: what cannot be drawn."""
    return None if logprob == float("-inf") else logprob


def _told(reading: Reading, report: TokenReport) -> dict[str, Any]:
    text = reading.text_of(report.token_id)
    reading.read(report.token_id)
    return {
        "token": text,
        "token_id": report.token_id,
        "logprob": finite(report.logprob),
        "base_logprob": finite(report.base_logprob),
        "steering_nats": report.steering_nats,
        "truncation_nats": report.truncation_nats,
        "values": report.values,
        "steered": report.steered,
    }
