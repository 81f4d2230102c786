"""``POST /v1/chat/completions``."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from server.answers.chat import ChatAnswer
from server.answers.completions import Extras
from server.http.disconnect import while_connected
from server.openapi import body_of, errors, streamed
from server.protocol.chat import ChatCompletion, ChatCompletionRequest
from server.resolved_request import resolve_request
from server.run_requests import respond_with
from server.text.prompts import check_fits, truncated

router = APIRouter()


@router.post(
    "/v1/chat/completions",
    summary="Create a chat completion",
    response_model=None,
    responses=streamed(ChatCompletion) | errors(400, 404, 413, 415, 429, 503),
    openapi_extra=body_of(ChatCompletionRequest),
)
async def create_chat_completion(http: HttpRequest) -> Response:
    resolved = await resolve_request(http, ChatCompletionRequest)
    body, info, sampling = resolved.body, resolved.info, resolved.sampling
    echoed = body.echoed
    most = None if body.truncate_prompt_tokens is not None else info.max_model_len - 1
    prompt = await while_connected(http, resolved.service.prompts.chat(body.messages, body.rendering(), most))
    room = info.max_model_len - (sampling.max_tokens or 1)
    prompt = truncated(prompt, body.truncate_prompt_tokens, body.truncation_side, room)
    check_fits(prompt, sampling, info, "messages", body.limit_name)
    answer = ChatAnswer(
        f"chatcmpl-{body.request_id or resolved.id}",
        resolved.answer_context([prompt]),
        Extras.of(body),
        resolved.tools,
        echoed,
    )
    return await respond_with(resolved, [resolved.request(prompt)], answer)
