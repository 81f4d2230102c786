"""What ``/v1/score`` answers: given texts with what each of their tokens is worth."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.text_scores import standardise, text_values, weighted
from server.answers.context import AnswerContext
from server.answers.guidance_report import finite, guidance_report, token_reports
from server.answers.scored_text import ScoredText


def scores(
    id: str,
    context: AnswerContext,
    texts: Sequence[ScoredText],
    rewards: Sequence[Mapping[str, float]] | None,
    objectives: Sequence[ObjectiveInfo],
) -> dict[str, Any]:
    """``Scores``. Args: rewards: raw, of each text, or None; objectives: the loaded ones."""
    answers = [_score(i, context, text, objectives) for i, text in enumerate(texts)]
    for answer, row in zip(answers, rewards or (), strict=rewards is not None):
        answer["rewards"] = _rewards(row, objectives)
    prompt = len(context.prompts[0]) + sum(len(text.reports) for text in texts)
    cached = {"cached_tokens": sum(text.cached_tokens for text in texts)}
    return {
        "id": id,
        "object": "score",
        "created": int(time.time()),
        "model": context.model,
        "system_fingerprint": context.fingerprint,
        "answers": answers,
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": 0,
            "total_tokens": prompt,
            "prompt_tokens_details": cached,
        },
    }


def _score(index: int, context: AnswerContext, text: ScoredText, objectives: Sequence[ObjectiveInfo]) -> dict[str, Any]:
    values = text_values(text.reports, objectives)
    tokens = token_reports(context.reading(0), text.reports)
    return {
        "index": index,
        "logprob": finite(math.fsum(report.logprob for report in text.reports)),
        "base_logprob": finite(math.fsum(report.base_logprob for report in text.reports)),
        "outside": text.outside,
        "values": values,
        "score": weighted(context.weights.values, values) if text.guidance else None,
        "guidance": guidance_report(replace(context, wants_report=True), text.guidance, tokens),
    }


def _rewards(raw: Mapping[str, float], objectives: Sequence[ObjectiveInfo]) -> dict[str, dict[str, float | None]]:
    """Additive values are not scaled as rewards are, so their constants say nothing about one of the same name."""
    scaled = standardise(list(raw), list(raw.values()), [each for each in objectives if not each.additive])
    return {name: {"raw": reward, "standardised": scaled.get(name)} for name, reward in raw.items()}
