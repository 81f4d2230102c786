"""``POST /v1/completions``: one engine request per prompt, answered together in order prompt, then choice."""

from __future__ import annotations

import uuid
from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from mavis_core.errors import QueueFullError
from mavis_core.messages import EngineInfo, Request
from mavis_core.sampling_params import SamplingParams
from server.answers.text import TextAnswer
from server.body import read_json
from server.generation import respond_with
from server.observation import count_request
from server.openapi import body_of, errors, streamed
from server.prompts import check_fits
from server.protocol.completions import DEFAULT_MAX_TOKENS, Completion, CompletionRequest
from server.protocol.steering import GuidanceOptions
from server.service import Service, service_of
from server.validation import parse
from server.weights import HEADER, resolve_weights

router = APIRouter()


@router.post(
    "/v1/completions",
    summary="Create a text completion",
    response_model=None,
    responses=streamed(Completion) | errors(400, 404, 413, 415, 429, 503),
    openapi_extra=body_of(CompletionRequest),
)
async def create_completion(http: HttpRequest) -> Response:
    service = service_of(http)
    payload = await read_json(http, service.settings.max_body_bytes)
    info = service.ready_info()
    body = parse(CompletionRequest, payload)
    model = service.check_model(body.model, info)
    sampling = body.sampling(info.sampling_defaults)
    weights = resolve_weights(
        body.objective_weights, http.headers.get(HEADER), service.settings.objective_weights, info.objectives
    )
    guidance = (body.guidance or GuidanceOptions()).with_weights(weights.values)
    prompts = [await service.prompts.text(prompt) for prompt in body.prompts]
    for prompt in prompts:
        check_fits(prompt, sampling, info, "prompt", "max_tokens")
    _check_room(service, info, len(prompts) * (guidance.search.rows if guidance.search else 1))
    count_request(service.metrics, guidance, weights.source)
    answer = TextAnswer(
        echo=await _texts(service, body) if body.echo else None,
        id=f"cmpl-{uuid.uuid4().hex}",
        model=model,
        fingerprint=service.fingerprint(info),
        weights=weights,
        n=sampling.n,
        prompts=len(prompts),
        token_text=service.token_text,
        wants_logprobs=sampling.logprobs is not None,
        wants_report=guidance.report,
        include_usage=body.include_usage,
        continuous_usage=body.continuous_usage,
    )
    requests = [
        Request(f"{answer.id}-{i}", prompt, _limited(sampling, info.max_model_len - len(prompt)), guidance)
        for i, prompt in enumerate(prompts)
    ]
    return await respond_with(http, service, requests, answer, bool(body.stream))


def _limited(sampling: SamplingParams, room: int) -> SamplingParams:
    """The documented default of 16 tokens, or what is left; not below ``min_tokens``."""
    if sampling.max_tokens is not None:
        return sampling
    return replace(sampling, max_tokens=min(room, max(DEFAULT_MAX_TOKENS, sampling.min_tokens)))


def _check_room(service: Service, info: EngineInfo, places: int) -> None:
    """Several prompts are taken all or none: a stream could not take back its 200 for the last of them."""
    limit = info.max_num_seqs + service.settings.max_queue
    if places > 1 and service.engine.in_flight + places > limit:
        raise QueueFullError(service.engine.in_flight, limit)


async def _texts(service: Service, body: CompletionRequest) -> list[str]:
    return [p if isinstance(p, str) else await service.prompts.decode(p) for p in body.prompts]
