"""The first half of every request that generates: from bytes to what is known before there is a prompt.

Tools, structure, sampling, model, weights and guidance are settled here and nowhere else, in this order, so that all
endpoints refuse the same things with the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from starlette.requests import Request as HttpRequest

from mavis_core.errors import QueueFullError
from mavis_core.messages import EngineInfo, Request
from mavis_core.sampling_params import SamplingParams
from server.answers.asked import Asked
from server.body import read_json
from server.observation import count_request
from server.protocol.steering import SteeredRequest
from server.service import Service, service_of
from server.steering import Steering, resolve_steering
from server.tools.grammar import constraint_of
from server.tools.use import Constraint, ToolUse
from server.validation import parse

Body = TypeVar("Body", bound=SteeredRequest)


@dataclass(frozen=True, slots=True)
class Accepted(Generic[Body]):
    http: HttpRequest
    service: Service
    info: EngineInfo
    body: Body
    tools: ToolUse
    constraint: Constraint | None
    sampling: SamplingParams
    steering: Steering

    def asked(self, prompts: Sequence[tuple[int, ...]]) -> Asked:
        """What an answer to these prompts must know; counts the request, which nothing refuses from here on."""
        count_request(self.service.metrics, self.steering)
        return Asked(
            model=self.steering.model,
            fingerprint=self.service.fingerprint(self.info),
            weights=self.steering.weights,
            sampling=self.sampling,
            wants_report=self.steering.guidance.report,
            prompts=tuple(prompts),
            token_text=self.service.token_text,
            include_usage=self.body.include_usage,
            continuous_usage=self.body.continuous_usage,
            obfuscated=self.body.obfuscated,
        )

    def request(self, id: str, prompt: tuple[int, ...], sampling: SamplingParams | None = None) -> Request:
        return Request(id, prompt, sampling or self.sampling, self.steering.guidance, self.body.cache_salt)

    def check_room(self, prompts: int) -> None:
        """Several prompts are taken all or none: a stream could not take back its 200 for the last of them."""
        search, limit = self.steering.guidance.search, self.info.max_num_seqs + self.service.settings.max_queue
        places = prompts * (1 if search is None else search.rows)
        if prompts > 1 and self.service.engine.in_flight + places > limit:
            raise QueueFullError(self.service.engine.in_flight, limit)


async def accept(http: HttpRequest, kind: type[Body]) -> Accepted[Body]:
    """Raises MavisError: whatever is wrong with the request before its prompt is looked at."""
    service = service_of(http)
    payload = await read_json(http, service.settings.max_body_bytes)
    info = service.ready_info()
    body = parse(kind, payload)
    tools = body.tool_use()
    constraint = constraint_of(tools, body.constraint())
    sampling = body.sampling(info.sampling_defaults)
    if constraint is not None:
        sampling = replace(sampling, structure=constraint.structure)
    steering = await resolve_steering(http, service, body, info)
    return Accepted(http, service, info, body, tools, constraint, sampling, steering)
