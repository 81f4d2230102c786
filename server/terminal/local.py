"""The terminal chat against an engine in this process; prompts are rendered exactly as in the server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import cached_property
from typing import Any

from mavis_core.api.engine_client import EngineClient
from mavis_core.api.errors import MavisError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo, Request
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.tokenizer import Tokenizer
from server.objectives.declared import Declared, Objectives
from server.objectives.instruction import Place, find_place, instructed
from server.objectives.known import Known
from server.protocol.chat_messages import ChatMessage
from server.terminal.backend import BackendError, Piece, Turn
from server.text.prompts import Prompts, with_room
from server.weights import check_weights


class LocalBackend:
    """``declared`` are objectives in words, beside those that are loaded."""

    def __init__(
        self, engine: EngineClient, tokenizer: Callable[[], Tokenizer], declared: Declared | None = None
    ) -> None:
        self._engine = engine
        self._prompts = Prompts(tokenizer)
        self._declared = Objectives(declared or Declared({}, {}))

    @cached_property
    def _place(self) -> Place | None:
        return find_place(self._prompts.render)

    @property
    def _known(self) -> Known:
        loaded = self._engine.info.objectives
        return Known.of(loaded, {} if self._place is None else self._declared.beside(loaded))

    async def objectives(self) -> list[ObjectiveInfo]:
        return list(self._known.infos)

    async def answer(self, turn: Turn) -> AsyncGenerator[Piece, None]:
        try:
            request = await self._request(turn)
            outputs = self._engine.generate(request)
            async with aclosing(outputs):
                async for output in outputs:
                    for delta in output.deltas:
                        stats = delta.guidance
                        if delta.finish_reason is None:
                            yield Piece(delta.text)
                        elif stats is None:
                            yield Piece(delta.text, 0.0)
                        else:
                            kl = stats.steering_nats + stats.truncation_nats
                            yield Piece(delta.text, kl, kl / max(stats.tokens, 1), stats.values)
        except MavisError as error:
            raise BackendError(str(error)) from None

    async def close(self) -> None:
        self._prompts.close()
        await self._engine.close()

    async def _request(self, turn: Turn) -> Request:
        info, known = self._engine.info, self._known
        check_weights(turn.weights, known.infos)
        guidance = Guidance(weights=turn.weights, beta=turn.beta)
        own: dict[str, Any] = {} if turn.temperature is None else {"temperature": turn.temperature}
        sampling = SamplingParams(**{**info.sampling_defaults, **own, "seed": turn.seed})
        messages = [ChatMessage.model_validate(message) for message in turn.messages]
        prompt = await self._prompts.chat(messages)
        sampling = with_room(prompt, sampling, info, "messages")
        prompted = []
        for name, declared in known.declared.items():
            if turn.weights.get(name) and self._place is not None:
                told = instructed(messages, declared.instruction, self._place)
                prompted.append(PromptedObjective(name, await self._prompts.chat(told)))
        return Request(uuid.uuid4().hex, prompt, sampling, guidance, prompted=tuple(prompted))
