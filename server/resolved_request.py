"""The first half of every request that generates: from bytes to what is known before there is a prompt.

Tools, structure, sampling, model, weights and guidance are settled here and nowhere else, in this order, so that all
endpoints refuse the same things with the same words.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from starlette.requests import Request as HttpRequest

from mavis_core.api.errors import InvalidRequestError, QueueFullError
from mavis_core.api.messages import EngineInfo, Request
from mavis_core.api.sampling_params import SamplingParams
from server.answers.context import AnswerContext
from server.http.body import read_json
from server.http.left_out import left_out_of
from server.observation import count_request
from server.protocol.steered_request import SteeredRequest
from server.service import Service, service_of
from server.steering import Steering, resolve_steering
from server.tools.grammar import constraint_of
from server.tools.use import Constraint, ToolUse
from server.unknown_fields import note_unknown
from server.validation import parse

Body = TypeVar("Body", bound=SteeredRequest)


@dataclass(frozen=True, slots=True)
class ResolvedRequest(Generic[Body]):
    id: str
    http: HttpRequest
    service: Service
    info: EngineInfo
    body: Body
    tools: ToolUse
    constraint: Constraint | None
    sampling: SamplingParams
    steering: Steering

    def answer_context(self, prompts: Sequence[tuple[int, ...]]) -> AnswerContext:
        """What an answer to these prompts must know; counts the request, which nothing refuses from here on."""
        count_request(self.service.metrics, self.steering)
        return AnswerContext(
            model=self.steering.model,
            fingerprint=self.service.fingerprint(self.info),
            weights=self.steering.weights,
            sampling=self.sampling,
            wants_report=self.steering.guidance.report,
            left_out=left_out_of(self.http).names() if self.body.wants_left_out else None,
            prompts=tuple(prompts),
            token_text=self.service.token_text,
            include_usage=self.body.include_usage,
            continuous_usage=self.body.continuous_usage,
            obfuscated=self.body.obfuscated,
        )

    def request(self, prompt: tuple[int, ...], sampling: SamplingParams | None = None) -> Request:
        sampling = sampling or self.sampling
        guidance, salt = self.steering.guidance, self.body.cache_salt
        return Request(uuid.uuid4().hex, prompt, sampling, guidance, salt, group=self.id)

    def check_room(self, requests: Sequence[Request]) -> None:
        """Several prompts are taken all or none: a stream could not take back its 200 for the last of them.

        Raises:
            InvalidRequestError: more choices than this server ever takes.
            QueueFullError: more than it takes now.
        """
        limit, taken = self.info.max_num_seqs + self.service.settings.max_queue, self.service.engine.in_flight
        places = sum(request.places for request in requests)
        if len(requests) > 1 and places > limit:
            each = requests[0].places
            raise InvalidRequestError(
                f"prompt: {len(requests)} prompts of {each} {'row' if each == 1 else 'rows'} take {places} places: "
                f"this server has {limit}; send fewer at a time",
                "prompt",
            )
        if len(requests) > 1 and taken + places > limit:
            raise QueueFullError(taken, limit)


async def resolve_request(http: HttpRequest, kind: type[Body]) -> ResolvedRequest[Body]:
    """Raises MavisError: whatever is wrong with the request before its prompt is looked at."""
    service = service_of(http)
    payload = await read_json(http, service.settings.max_body_bytes)
    info = service.ready_info()
    body = parse(kind, payload)
    note_unknown(http, body, payload)
    for name in body.unread():
        left_out_of(http).add(name)
    tools = body.tool_use()
    constraint = constraint_of(tools, body.constraint())
    sampling = body.sampling(info.sampling_defaults)
    if constraint is not None:
        for place in constraint.relaxed:
            left_out_of(http).add(place)
        sampling = replace(sampling, structure=constraint.structure)
    steering = await resolve_steering(http, service, body, info)
    return ResolvedRequest(uuid.uuid4().hex, http, service, info, body, tools, constraint, sampling, steering)
