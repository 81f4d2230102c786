"""``POST /v1/score``: answers that somebody else generated, under the base model and under weights."""

from __future__ import annotations

import orjson
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from mavis_core.api.prompted import PromptedObjective
from server.answers.scores import scores
from server.http.disconnect import while_connected
from server.http.throttle import reserve_tokens
from server.openapi import body_of, errors
from server.protocol.score import ScoreRequest, Scores
from server.requests.resolved_request import ResolvedRequest, resolve_request
from server.requests.scoring import score_all, scoring_request
from server.requests.unknown_fields import note_unused
from server.text.prompts import with_room

router = APIRouter()
Prompt = tuple[tuple[int, ...], tuple[PromptedObjective, ...]]


@router.post(
    "/v1/score",
    summary="Score given answers under weights",
    response_model=Scores,
    responses=errors(400, 404, 413, 415, 429, 503),
    openapi_extra=body_of(ScoreRequest),
)
async def create_score(http: HttpRequest) -> Response:
    resolved = await resolve_request(http, ScoreRequest)
    if resolved.body.messages is not None:
        note_unused(http, resolved.body.rendering())
    prompt, prompted = await while_connected(http, _prompt(resolved))
    answers = await while_connected(http, _answers(resolved))
    param = "prompt" if resolved.body.messages is None else "messages"
    sampling = with_room(prompt, resolved.sampling, resolved.info, param)
    request = scoring_request(resolved, prompt, answers, sampling, prompted)
    context = resolved.answer_context([prompt])
    allowance = reserve_tokens(http, [request])
    (found,) = await while_connected(http, score_all(resolved, [request], allowance))
    rewards = await while_connected(http, resolved.service.engine.rewards(prompt, answers))
    made = scores(f"score-{resolved.id}", context, found, rewards, resolved.info.objectives)
    return Response(orjson.dumps(made), media_type="application/json")


async def _answers(resolved: ResolvedRequest[ScoreRequest]) -> list[tuple[int, ...]]:
    """Each as the tokens that follow the prompt's; one of no tokens is refused by the engine."""
    tokens = resolved.service.prompts.tokens
    given = resolved.body.answers
    return [tuple(await tokens(answer, special=False) if isinstance(answer, str) else answer) for answer in given]


async def _prompt(resolved: ResolvedRequest[ScoreRequest]) -> Prompt:
    """The prompt's tokens, and the objectives in words that steer behind it."""
    body, prompts, most = resolved.body, resolved.service.prompts, resolved.info.max_model_len - 1
    if body.messages is None:
        special = body.add_special_tokens is not False
        (prompt,) = await prompts.texts([body.prompt or ""], special, most)
        return prompt, await resolved.prompted_text(prompt)
    rendering = body.rendering()
    prompt = await prompts.chat(body.messages, rendering, most)
    return prompt, await resolved.prompted(body.messages, rendering, prompt, resolved.steering.instructions)
