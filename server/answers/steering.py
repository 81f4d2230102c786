"""What steering did, as answers tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mavis_core.messages import GuidanceStats, TokenReport
from server.answers.asked import Asked


def guidance_of(asked: Asked, stats: GuidanceStats | None, reports: Sequence[TokenReport]) -> dict[str, Any]:
    """``ChoiceGuidance``; ``stats`` is None for an unguided choice."""
    steering, truncation = (stats.steering_nats, stats.truncation_nats) if stats else (0.0, 0.0)
    kl = steering + truncation
    report = {
        "weights": asked.weights.values,
        "source": asked.weights.source,
        "beta": stats.beta if stats else 0.0,
        "kl_nats": kl,
        "kl_per_token": kl / stats.tokens if stats and stats.tokens else 0.0,
        "steering_nats": steering,
        "truncation_nats": truncation,
        "values": stats.values if stats else {},
    }
    if stats and stats.search:
        report["search"] = asdict(stats.search)
    return report | {"tokens": reports_of(asked, reports)} if asked.wants_report else report


def reports_of(asked: Asked, reports: Sequence[TokenReport]) -> list[dict[str, Any]]:
    return [
        {
            "token": asked.token_text(report.token_id)[0],
            "token_id": report.token_id,
            "logprob": report.logprob,
            "base_logprob": report.base_logprob,
            "steering_nats": report.steering_nats,
            "truncation_nats": report.truncation_nats,
            "values": report.values,
        }
        for report in reports
    ]
