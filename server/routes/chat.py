"""``POST /v1/chat/completions``."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from mavis_core.messages import Request
from server.answers.chat import ChatAnswer
from server.body import read_json
from server.generation import respond_with
from server.observation import count_request
from server.openapi import body_of, errors, streamed
from server.prompts import check_fits
from server.protocol.chat import ChatCompletion, ChatCompletionRequest
from server.service import service_of
from server.steering import resolve_steering
from server.validation import parse

router = APIRouter()


@router.post(
    "/v1/chat/completions",
    summary="Create a chat completion",
    response_model=None,
    responses=streamed(ChatCompletion) | errors(400, 404, 413, 415, 429, 503),
    openapi_extra=body_of(ChatCompletionRequest),
)
async def create_chat_completion(http: HttpRequest) -> Response:
    service = service_of(http)
    payload = await read_json(http, service.settings.max_body_bytes)
    info = service.ready_info()
    body = parse(ChatCompletionRequest, payload)
    sampling = body.sampling(info.sampling_defaults)
    steering = await resolve_steering(http, service, body, info)
    prompt = await service.prompts.chat(body.messages)
    check_fits(prompt, sampling, info, "messages", body.limit_name)
    count_request(service.metrics, steering)
    answer = ChatAnswer(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        model=steering.model,
        fingerprint=service.fingerprint(info),
        weights=steering.weights,
        n=sampling.n,
        prompts=1,
        token_text=service.token_text,
        wants_logprobs=sampling.logprobs is not None,
        wants_report=steering.guidance.report,
        include_usage=body.include_usage,
        continuous_usage=body.continuous_usage,
    )
    request = Request(answer.id, prompt, sampling, steering.guidance)
    return await respond_with(http, service, [request], answer, bool(body.stream))
