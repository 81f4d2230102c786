"""Rate limits of endpoints that generate or tokenize: refusals on arrival, and OpenAI's headers on all answers.

A middleware and not a dependency: answers that never reach a route (malformed bodies, errors) carry the headers too,
and a stream's tokens are counted when its last byte is out or its client has gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mavis_core.api.messages import Request as EngineRequest
from server.errors import RateLimitError, respond
from server.http.keys import ApiKey
from server.http.rate_limits import Allowance, RateLimits
from server.http.route_path import route_path
from server.service import service_of
from server.telemetry.metrics import Metrics

LIMITED = frozenset({
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens",
    "/v1/score", "/invocations", "/tokenize", "/detokenize",
})  # fmt: skip


class Throttle:
    def __init__(self, app: ASGIApp, limits: RateLimits, metrics: Metrics) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or route_path(scope) not in LIMITED:
            await self._app(scope, receive, send)
            return
        caller = scope["state"]["caller"]
        assert isinstance(caller, ApiKey)
        allowance = scope["state"]["allowance"] = self._limits.allowance(caller)

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *allowance.headers()]
            await send(message)

        try:
            allowance.take_request()
        except RateLimitError as error:
            self._metrics.rate_limited.labels(error.type).inc()
            await respond(error)(scope, receive, send_with_limits)
            return
        try:
            await self._app(scope, receive, send_with_limits)
        finally:
            allowance.reconcile()


def reserve_tokens(http: Request, requests: Sequence[EngineRequest]) -> Allowance:
    """Reserve what these engine requests may need; raises RateLimitError if the key has less left."""
    allowance = http.state.allowance
    assert isinstance(allowance, Allowance)
    try:
        allowance.reserve(sum(map(_most, requests)))
    except RateLimitError as error:
        service_of(http).metrics.rate_limited.labels(error.type).inc()
        raise
    return allowance


def _most(request: EngineRequest) -> int:
    """Tokens that it may take, those of companions too."""
    answers = sum(map(len, request.answers)) or (request.sampling.max_tokens or 0) * request.sampling.n
    return sum(len(prompt) + answers for prompt in request.prompts)
