"""An ``EngineClient`` and a tokenizer without a model: every answer is ``SCRIPT``, one byte per token and step.

Numbers that a test can predict: each guided token costs 0.25 nats of steering and 0.05 of truncation, and an
objective's value is twice its weight.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

from jinja2 import TemplateError

from mavis_core.client import EngineState
from mavis_core.errors import EngineUnavailableError, QueueFullError
from mavis_core.messages import (
    ChoiceDelta,
    EngineInfo,
    FinishReason,
    GuidanceStats,
    ObjectiveInfo,
    Request,
    RequestOutput,
    StepStats,
    TokenLogprobs,
    TokenReport,
)
from server.token_text import byte_alphabet

SCRIPT = b"Hello there, friend."
EOS = 256
VOCAB = 257
STEERING, TRUNCATION = 0.25, 0.05
NAMES = ("cheerful", "concise")


class FakeTokenizer:
    def __init__(self) -> None:
        self.chat_template: Any = "fake"
        self.all_special_ids = [EOS]
        self.backend_tokenizer: Any = SimpleNamespace(decoder="ByteLevel")

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return list(text.encode())

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        return bytes(i for i in token_ids if i != EOS).decode(errors="replace")

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        characters = {byte: char for char, byte in byte_alphabet().items()}
        return ["<eos>" if i == EOS else characters[i] for i in ids]

    def apply_chat_template(self, conversation: list[dict[str, Any]], **kwargs: Any) -> str:
        assert kwargs["tokenize"] is False
        assert kwargs["add_generation_prompt"] is True
        if conversation[0]["role"] == "assistant":
            raise TemplateError("a conversation must begin with system or user")
        return "".join(f"{m['role']}:{m['content']}\n" for m in conversation) + "assistant:"

    def __len__(self) -> int:
        return VOCAB


class FakeEngine:
    def __init__(self, latency: float = 0.0, limit: int = 1000, max_model_len: int = 400) -> None:
        self.state: EngineState = "ready"
        self.latency = latency
        self.limit = limit
        self.requests: list[Request] = []
        self.aborted: list[str] = []
        self.running: set[str] = set()
        self.fail_at: int | None = None  # raise out of the iterator at this token
        self.closed = False
        self._callbacks: list[Callable[[StepStats], None]] = []
        self._info = EngineInfo(
            model="fake/model",
            max_model_len=max_model_len,
            vocab_size=VOCAB,
            max_num_seqs=8,
            dtype="float32",
            device="cpu",
            objectives=tuple(
                ObjectiveInfo(name, f"how {name} it is", "head", "fake-value", 0.1, 0.5, 1.5, (-4.0, 4.0))
                for name in NAMES
            ),
        )

    @property
    def info(self) -> EngineInfo:
        if self.state == "loading":
            raise EngineUnavailableError("loading")
        return self._info

    @property
    def in_flight(self) -> int:
        return len(self.running)

    def on_step(self, callback: Callable[[StepStats], None]) -> None:
        self._callbacks.append(callback)

    async def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        if self.state != "ready":
            raise EngineUnavailableError(f"the engine is {self.state}")
        if len(self.running) >= self.limit:
            raise QueueFullError(len(self.running), self.limit)
        assert request.id not in self.running
        self.requests.append(request)
        self.running.add(request.id)
        finished = False
        try:
            most = request.sampling.max_tokens or len(SCRIPT)
            for step in range(most):
                await asyncio.sleep(self.latency)
                if step == self.fail_at:
                    finished = True
                    raise EngineUnavailableError("the engine died")
                last = step == most - 1
                prompt = len(request.prompt_token_ids)
                for callback in self._callbacks:
                    callback(StepStats(len(self.running), 0, 0 if step else prompt, 1, 0, 0.5, 0.01, 0.002, 0.013))
                deltas = tuple(self._delta(request, index, step, last) for index in range(request.sampling.n))
                finished = last
                yield RequestOutput(request.id, prompt, deltas, last)
        finally:
            self.running.discard(request.id)
            if not finished:
                self.aborted.append(request.id)

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 (the Protocol's)
        self.state = "draining"
        for _ in range(int(timeout / 0.01)):
            if not self.running:
                break
            await asyncio.sleep(0.01)
        return not self.running

    async def close(self) -> None:
        self.closed = True

    def _delta(self, request: Request, index: int, step: int, last: bool) -> ChoiceDelta:
        token, sampling, guidance = SCRIPT[step % len(SCRIPT)], request.sampling, request.guidance
        values = {name: 2 * weight for name, weight in guidance.weights.items()}
        logprobs: tuple[TokenLogprobs, ...] = ()
        if sampling.logprobs is not None:
            top = ((token, -0.5), (ord("z"), -1.5), (0xE2, -2.5))[: sampling.logprobs]
            logprobs = (TokenLogprobs(token, -0.5, top, -0.5),)
        reports: tuple[TokenReport, ...] = ()
        if guidance.active and guidance.report:
            reports = (TokenReport(token, -0.5, -0.75, STEERING, TRUNCATION, values),)
        stats = None
        if guidance.active:
            n = step + 1
            beta = 1.5 if guidance.beta is None else guidance.beta
            spread = dict.fromkeys(values, 1.0)
            stats = GuidanceStats(beta, n, n * STEERING, n * TRUNCATION, n * 0.2, values, 0.9, spread)
        reason: FinishReason | None = None if not last else "length" if sampling.max_tokens else "stop"
        return ChoiceDelta(index, chr(token), (token,), logprobs, reports, reason, None, stats)
