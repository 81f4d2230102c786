"""The terminal chat against an engine in this process; prompts are rendered exactly as the server does it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from mavis_core.api.engine_client import EngineClient
from mavis_core.api.errors import MavisError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo, Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.tokenizer import Tokenizer
from server.protocol.chat_messages import ChatMessage
from server.terminal.backend import BackendError, Piece, Turn
from server.text.prompts import Prompts, with_room
from server.weights import check_weights


class LocalBackend:
    def __init__(self, engine: EngineClient, tokenizer: Callable[[], Tokenizer]) -> None:
        self._engine = engine
        self._prompts = Prompts(tokenizer)

    async def objectives(self) -> list[ObjectiveInfo]:
        return list(self._engine.info.objectives)

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
        info = self._engine.info
        check_weights(turn.weights, info.objectives)
        guidance = Guidance(weights=turn.weights, beta=turn.beta)
        sampling = SamplingParams(seed=turn.seed)
        prompt = await self._prompts.chat([ChatMessage.model_validate(message) for message in turn.messages])
        sampling = with_room(prompt, sampling, info, "messages")
        return Request(uuid.uuid4().hex, prompt, sampling, guidance)
