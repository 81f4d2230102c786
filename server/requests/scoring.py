"""Runs requests whose answers are given, and gathers what the engine says of their tokens.

Of an echoed prompt that is steered the first token is the prompt, and the others are a given answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from mavis_core.api.messages import Request
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from server.answers.scored_text import ScoredText
from server.answers.steered_echo import SteeredEcho
from server.http.rate_limits import Allowance
from server.protocol.completions import CompletionRequest
from server.requests.live_answers import LiveAnswer
from server.requests.resolved_request import ResolvedRequest
from server.requests.run_requests import fan_in, run
from server.telemetry.observation import ScoringObservation


def scoring_request(
    resolved: ResolvedRequest[Any],
    prompt: tuple[int, ...],
    answers: Sequence[tuple[int, ...]],
    sampling: SamplingParams,
    prompted: tuple[PromptedObjective, ...] = (),
    **guidance: Any,
) -> Request:
    """For the engine; ``guidance``: what differs from the request's own."""
    return Request(
        uuid.uuid4().hex,
        prompt,
        replace(sampling, n=len(answers), max_tokens=max(sampling.min_tokens, *map(len, answers))),
        replace(resolved.steering.guidance, **guidance),
        resolved.body.cache_salt,
        group=resolved.id,
        prompted=prompted,
        answers=tuple(answers),
    )


async def score_all(
    resolved: ResolvedRequest[Any], requests: Sequence[Request], allowance: Allowance
) -> list[list[ScoredText]]:
    """The texts of each request; the first error ends all of them."""
    found = [[ScoredText() for _ in request.answers] for request in requests]
    observation = ScoringObservation(resolved.service.metrics)
    scored = LiveAnswer(resolved.steering, list(requests), None)
    engine = resolved.service.engine
    runs = [run(i, scored, engine.generate(each), observation, allowance) for i, each in enumerate(requests)]
    async with aclosing(fan_in(runs)) as outputs:
        async for number, output in outputs:
            texts = found[number]
            texts[0].cached_tokens = max(texts[0].cached_tokens, output.cached_tokens)
            for delta in output.deltas:
                texts[delta.index].take(delta)
    return found


async def echo_requests(
    resolved: ResolvedRequest[CompletionRequest], prompts: Sequence[tuple[int, ...]]
) -> list[Request]:
    """For the engine, one for each prompt of more than one token; none where the echo is the base model's."""
    body, guidance = resolved.body, resolved.steering.guidance
    if not body.echo or body.logprobs is None or not guidance.active:
        return []
    sampling = SamplingParams(logprobs=body.logprobs, seed=0)
    return [
        scoring_request(
            resolved,
            prompt[:1],
            [prompt[1:]],
            sampling,
            await resolved.prompted_text(prompt[:1]),
            allow_empty=True,
            search=None,
        )
        for prompt in prompts
        if len(prompt) > 1
    ]


async def steered_echoes(
    resolved: ResolvedRequest[CompletionRequest],
    prompts: Sequence[tuple[int, ...]],
    requests: Sequence[Request],
    allowance: Allowance,
) -> list[SteeredEcho]:
    """Of each prompt, by the requests that ``echo_requests`` made."""
    found = iter(await score_all(resolved, requests, allowance))
    return [SteeredEcho(next(found)[0] if len(prompt) > 1 else ScoredText()) for prompt in prompts]
