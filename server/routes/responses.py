"""``POST /v1/responses``, the stateless part: there is nothing to retrieve, cancel or delete afterwards."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from server.answers.responses import ResponseAnswer
from server.http.disconnect import while_connected
from server.openapi import body_of, errors, streamed
from server.protocol.responses import ResponseObject, ResponsesRequest
from server.requests.resolved_request import resolve_request
from server.requests.run_requests import respond_with
from server.text.prompts import with_room

router = APIRouter()


@router.post(
    "/v1/responses",
    summary="Create a model response",
    response_model=None,
    responses=streamed(ResponseObject, "an event as JSON, numbered; its type is the event's name")
    | errors(400, 404, 413, 415, 429, 503),
    openapi_extra=body_of(ResponsesRequest),
)
async def create_response(http: HttpRequest) -> Response:
    resolved = await resolve_request(http, ResponsesRequest)
    body = resolved.body
    messages, rendering = body.messages(), body.rendering()
    reading = resolved.service.prompts.chat(messages, rendering, resolved.info.max_model_len - 1)
    prompt = await while_connected(http, reading)
    sampling = resolved.reasoning(prompt, with_room(prompt, resolved.sampling, resolved.info, "input"))
    tell = partial(resolved.prompted, messages, rendering, prompt)
    prompted = await while_connected(http, tell(resolved.steering.instructions))
    answer = ResponseAnswer(f"resp_{resolved.id}", resolved.answer_context([prompt], sampling), body, resolved.tools)
    return await respond_with(resolved, [resolved.request(prompt, sampling, prompted=prompted)], answer, tell)
