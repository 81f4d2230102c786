"""Answers that are being written, by the ids that their clients know: what a change of steering finds them by.

An answer is known from before its first token until its last, or until its client has left, and only to the key that
asked for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from starlette.requests import Request as HttpRequest

from mavis_core.api.errors import UnknownRequestError
from mavis_core.api.messages import Request
from mavis_core.api.prompted import PromptedObjective
from server.http.keys import ApiKey
from server.http.streams import Outputs
from server.steering import Steering

Tell = Callable[[Mapping[str, str]], Awaitable[tuple[PromptedObjective, ...]]]


@dataclass(slots=True)
class LiveAnswer:
    """
    Attributes:
        steering: in force.
        requests: of the engine, one for each prompt, as they are by now.
        tell: makes objectives in words of instructions; None where the request has no whole conversation for them.
        changing: held by whoever changes the steering: each change begins with what the one before has made of it.
    """

    steering: Steering
    requests: list[Request]
    tell: Tell | None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


class LiveAnswers:
    def __init__(self) -> None:
        self._known: dict[tuple[bytes, str], LiveAnswer] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def known_by(self, answer_id: str, caller: ApiKey, live: LiveAnswer, outputs: Outputs) -> Outputs:
        """``outputs``, while which the answer is known."""
        key = (caller.digest, answer_id)
        self._known[key] = live  # where a client has given the same id twice, the newer answer has it
        async with aclosing(outputs):
            try:
                async for output in outputs:
                    yield output
            finally:
                if self._known.get(key) is live:
                    del self._known[key]

    def find(self, answer_id: str, caller: ApiKey) -> LiveAnswer:
        """Raises UnknownRequestError: there is none of that id, or it is another key's."""
        live = self._known.get((caller.digest, answer_id))
        if live is None:
            raise UnknownRequestError(answer_id)
        return live


def live_answers_of(http: HttpRequest) -> LiveAnswers:
    answers = http.app.state.live_answers
    assert isinstance(answers, LiveAnswers)
    return answers
