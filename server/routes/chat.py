"""``POST /v1/chat/completions``."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from mavis_core.api.errors import InvalidRequestError
from server.answers.chat import ChatAnswer
from server.answers.completions import Extras
from server.http.disconnect import while_connected
from server.openapi import body_of, errors, streamed
from server.protocol.chat import ChatCompletion, ChatCompletionRequest
from server.requests.resolved_request import resolve_request
from server.requests.run_requests import respond_with
from server.requests.unknown_fields import note_unused
from server.text.prompts import truncated, with_room

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
    rendering = body.rendering()
    note_unused(http, rendering)
    whole = await while_connected(http, resolved.service.prompts.chat(body.messages, rendering, most))
    room = info.max_model_len - (sampling.max_tokens or 1)
    prompt = truncated(whole, body.truncate_prompt_tokens, body.truncation_side, room)
    sampling = with_room(prompt, sampling, info, "messages")
    if prompt != whole and resolved.steering.instructions:
        raise InvalidRequestError(
            f"truncate_prompt_tokens: the prompt has {len(whole)} tokens; one that is steered by objectives in words "
            "must be read whole, as its instruction is",
            "truncate_prompt_tokens",
        )
    continued = body.messages[-1].text if body.continue_final_message else ""
    sampling = resolved.reasoning(prompt, sampling, continued)
    tell = partial(resolved.prompted, body.messages, rendering, prompt)
    prompted = await while_connected(http, tell(resolved.steering.instructions))
    answer = ChatAnswer(
        f"chatcmpl-{body.request_id or resolved.id}",
        resolved.answer_context([prompt], sampling),
        Extras.of(body),
        resolved.tools,
        echoed,
        body.include_reasoning is not False,
    )
    request = resolved.request(prompt, sampling, prompted=prompted)
    return await respond_with(resolved, [request], answer, tell if prompt == whole else None)
