"""``POST /invocations``: what SageMaker calls; a chat or a text completion, whichever the body is."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from mavis_core.api.errors import InvalidRequestError
from server.http.body import read_json
from server.openapi import body_of, errors, streamed
from server.protocol.chat import ChatCompletion, ChatCompletionRequest
from server.protocol.completions import Completion, CompletionRequest
from server.routes.chat import create_chat_completion
from server.routes.completions import create_completion
from server.service import service_of

router = APIRouter()


@router.post(
    "/invocations",
    summary="Create a chat or a text completion",
    response_model=None,
    responses=streamed(ChatCompletion | Completion) | errors(400, 404, 413, 415, 429, 503),
    openapi_extra=body_of(ChatCompletionRequest, CompletionRequest),
)
async def invoke(http: HttpRequest) -> Response:
    payload = await read_json(http, service_of(http).settings.max_body_bytes)
    http.state.payload = payload
    if "messages" in payload:
        return await create_chat_completion(http)
    if "prompt" in payload:
        return await create_completion(http)
    raise InvalidRequestError("the body has neither messages nor a prompt", "messages")
