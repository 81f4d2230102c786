"""``POST /v1/messages`` and ``POST /v1/messages/count_tokens``: Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from mavis_core.api.errors import InvalidRequestError
from server.answers.messages import MessageAnswer
from server.http.disconnect import while_connected
from server.openapi import body_of, errors, streamed
from server.protocol.chat_messages import ChatMessage
from server.protocol.messages.answer import Message, MessagesError, TokensCount
from server.protocol.messages.request import CountTokensRequest, MessagesRequest
from server.requests.read_request import read_request
from server.requests.resolved_request import resolve_request
from server.requests.run_requests import respond_with
from server.steering import find_model
from server.text.prompts import Prompts, with_room
from server.text.rendering import Rendering

router = APIRouter()
REFUSALS = errors(400, 404, 413, 415, 429, 503, model=MessagesError)


@router.post(
    "/v1/messages",
    summary="Create a message",
    response_model=None,
    responses=streamed(Message, "an event as JSON; its type is the event's name") | REFUSALS,
    openapi_extra=body_of(MessagesRequest),
)
async def create_message(http: HttpRequest) -> Response:
    resolved = await resolve_request(http, MessagesRequest)
    messages = resolved.body.chat_messages()
    rendering = resolved.body.rendering(messages)
    reading = _read(resolved.service.prompts, messages, rendering, resolved.info.max_model_len - 1)
    prompt = await while_connected(http, reading)
    continued = messages[-1].text if rendering.continue_final_message else ""
    room = with_room(prompt, resolved.sampling, resolved.info, "messages")
    sampling = resolved.reasoning(prompt, room, continued)
    tell = partial(resolved.prompted, messages, rendering, prompt)
    prompted = await while_connected(http, tell(resolved.steering.instructions))
    context = resolved.answer_context([prompt], sampling)
    answer = MessageAnswer(f"msg_{resolved.id}", http.state.request_id, context, resolved.tools)
    return await respond_with(resolved, [resolved.request(prompt, sampling, prompted=prompted)], answer, tell)


@router.post(
    "/v1/messages/count_tokens",
    summary="Count the tokens of a message's input",
    responses=REFUSALS,
    openapi_extra=body_of(CountTokensRequest),
)
async def count_tokens(http: HttpRequest) -> TokensCount:
    service, info, body = await read_request(http, CountTokensRequest)
    await find_model(service, body.model, info)
    messages = body.chat_messages()
    prompt = await while_connected(http, _read(service.prompts, messages, body.rendering(messages), None))
    return TokensCount(input_tokens=len(prompt))


async def _read(
    prompts: Prompts, messages: Sequence[ChatMessage], rendering: Rendering, most: int | None
) -> tuple[int, ...]:
    """The prompt; raises InvalidRequestError in the client's words."""
    try:
        return await prompts.chat(messages, rendering, most)
    except InvalidRequestError as error:
        if error.param != "continue_final_message":
            raise
        raise InvalidRequestError(
            "messages: the last is the assistant's, and the chat template does not write it as it is, "
            "so that no answer goes on with it",
            "messages",
        ) from None
