"""``POST /v1/chat/completions``."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from mavis_core.api.errors import InvalidRequestError
from server.accepted import accept
from server.answers.chat import ChatAnswer
from server.answers.completions import Extras
from server.generation import respond_with
from server.http.disconnect import while_connected
from server.openapi import body_of, errors, streamed
from server.protocol.chat import ChatCompletion, ChatCompletionRequest
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
    accepted = await accept(http, ChatCompletionRequest)
    body, info, sampling = accepted.body, accepted.info, accepted.sampling
    echoed = body.echoed
    most = None if body.truncate_prompt_tokens is not None else info.max_model_len - 1
    rendering = body.rendering()
    whole = await while_connected(http, accepted.service.prompts.chat(body.messages, rendering, most))
    room = info.max_model_len - (sampling.max_tokens or 1)
    prompt = truncated(whole, body.truncate_prompt_tokens, body.truncation_side, room)
    check_fits(prompt, sampling, info, "messages", body.limit_name)
    if prompt != whole and accepted.steering.instructions:
        raise InvalidRequestError(
            f"truncate_prompt_tokens: the prompt has {len(whole)} tokens; one that is steered by objectives in words "
            "must be read whole, as its instruction is",
            "truncate_prompt_tokens",
        )
    prompted = await while_connected(http, accepted.prompted(body.messages, rendering, prompt))
    answer = ChatAnswer(
        f"chatcmpl-{body.request_id or accepted.id}",
        accepted.asked([prompt]),
        Extras.of(body),
        accepted.tools,
        echoed,
    )
    return await respond_with(accepted, [accepted.request(prompt, prompted=prompted)], answer)
