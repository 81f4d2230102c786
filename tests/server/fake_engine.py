"""An ``EngineClient`` and a tokenizer without a model: every answer is a script, one byte per token and step.

Numbers that a test can predict: each guided token costs 0.25 nats of steering and 0.05 of truncation, and an
objective's value is twice its weight. Of every prompt four tokens are cached.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Any

from jinja2 import Template, TemplateError

from mavis_core.api.engine_client import EngineState
from mavis_core.api.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    LoadError,
    QueueFullError,
    UnknownValueError,
    ValueConflictError,
)
from mavis_core.api.messages import (
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
from tests.vocabularies import byte_tokenizer

SCRIPT = b"Hello there, friend."
EOS = 256
VOCAB = 257
BACKEND = byte_tokenizer().backend_tokenizer
STEERING, TRUNCATION = 0.25, 0.05
CACHED = 4
NAMES = ("cheerful", "concise")


TEMPLATE = (
    "{% if messages[0].role == 'assistant' %}{{ raise_exception('a conversation must begin with system or user') }}"
    "{% endif %}{% for m in messages %}{{ m.role }}:{{ m.content }}{% if not (loop.last and open) %}\n{% endif %}"
    "{% endfor %}{% if mood %}mood:{{ mood }}\n{% endif %}{% if add_generation_prompt %}assistant:{% endif %}"
)
TOOL_TEMPLATE = (
    "{% for t in tools %}{{ t | tojson }}\n{% endfor %}{% for m in messages %}{{ m.role }}:{{ m.content }}"
    "{% for c in m.tool_calls %}[{{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


def refuse(message: str) -> None:
    raise TemplateError(message)


class FakeTokenizer:
    def __init__(self, chat_template: Any = TEMPLATE) -> None:
        self.chat_template = chat_template
        self.backend_tokenizer: Any = BACKEND

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return list(text.encode())

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        return bytes(i for i in token_ids if i != EOS).decode(errors="replace")

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        return [BACKEND.id_to_token(i) for i in ids]

    def apply_chat_template(self, conversation: list[dict[str, Any]], **kwargs: Any) -> str:
        assert kwargs.pop("tokenize") is False
        if kwargs.pop("continue_final_message", False):
            kwargs["open"] = True
        return Template(kwargs.pop("chat_template")).render(messages=conversation, raise_exception=refuse, **kwargs)

    def __len__(self) -> int:
        return VOCAB


class FakeEngine:
    def __init__(
        self,
        latency: float = 0.0,
        limit: int = 1000,
        max_model_len: int = 400,
        script: bytes = SCRIPT,
        ends: bool = False,
    ) -> None:
        """``ends``: after the script comes the stop token, which is no text."""
        self.script = [*script, *([EOS] if ends else [])]
        self.refused_structure = ""  # refuse a structure whose source contains this
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
            kv_cache_tokens=4096,
            kv_cache_bytes=3 << 20,
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
        structure = request.sampling.structure
        if structure is not None and self.refused_structure and self.refused_structure in structure.source:
            raise InvalidRequestError("structure: cannot be followed", "structure")
        self.requests.append(request)
        self.running.add(request.id)
        finished = False
        try:
            most = request.sampling.max_tokens
            if most == 0:
                finished = True
                deltas = tuple(ChoiceDelta(i, "", (), finish_reason="length") for i in range(request.sampling.n))
                yield RequestOutput(
                    request.id, len(request.prompt_token_ids), deltas, True, prompt_logprobs=self._scored(request)
                )
            for step in range(len(self.script) if most is None else most):
                await asyncio.sleep(self.latency)
                if step == self.fail_at:
                    finished = True
                    raise EngineUnavailableError("the engine died")
                last = step == (len(self.script) if most is None else most) - 1
                prompt = len(request.prompt_token_ids)
                cached = 0 if request.cache_salt else min(CACHED, prompt - 1)
                queried, hits = (0, 0) if step else (prompt, cached)
                for callback in self._callbacks:
                    callback(
                        StepStats(len(self.running), 0, 0 if step else prompt, 1, 0, 0.5, 0.01, 0.002, queried, hits)
                    )
                deltas = tuple(self._delta(request, index, step, last) for index in range(request.sampling.n))
                finished = last
                scored = None if step else self._scored(request)
                yield RequestOutput(request.id, prompt, deltas, last, prompt_logprobs=scored, cached_tokens=cached)
        finally:
            self.running.discard(request.id)
            if not finished:
                self.aborted.append(request.id)
            for callback in self._callbacks:
                callback(StepStats(len(self.running), 0, 0, 0, 0, 0.0, 0.0, 0.0, idle=True))

    async def load_value(self, source: str) -> EngineInfo:
        """Every folder holds one objective of its own name; one named ``unfit`` is refused."""
        name = source.rpartition("/")[2]
        if name == "unfit":
            raise LoadError("unfit: trained for another policy")
        if any(objective.name == name for objective in self._info.objectives):
            raise ValueConflictError(f"objective {name!r} is scored already")
        new = ObjectiveInfo(name, f"how {name} it is", "lm", name, 0.1, 0.5, 1.5, (-4.0, 4.0))
        self._info = replace(self._info, objectives=(*self._info.objectives, new))
        return self._info

    async def unload_value(self, name: str) -> EngineInfo:
        left = tuple(objective for objective in self._info.objectives if objective.value != name)
        if left == self._info.objectives:
            raise UnknownValueError(f"no value named {name!r} is loaded")
        if self.running:
            raise ValueConflictError(f"value {name!r} is in use")
        self._info = replace(self._info, objectives=left)
        return self._info

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 (the Protocol's)
        self.state = "draining"
        for _ in range(int(timeout / 0.01)):
            if not self.running:
                break
            await asyncio.sleep(0.01)
        return not self.running

    async def close(self) -> None:
        self.closed = True

    def _scored(self, request: Request) -> tuple[TokenLogprobs | None, ...] | None:
        """Log-probability -id / 100; "z" is always likelier than the prompt's own."""
        if request.sampling.prompt_logprobs is None:
            return None
        top = ((ord("z"), -0.01), (ord("y"), -0.02))[: request.sampling.prompt_logprobs]
        return (None, *(TokenLogprobs(i, -i / 100, top, -i / 100) for i in request.prompt_token_ids[1:]))

    def _delta(self, request: Request, index: int, step: int, last: bool) -> ChoiceDelta:
        token, sampling, guidance = self.script[step % len(self.script)], request.sampling, request.guidance
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
        text = "" if token == EOS else chr(token)
        return ChoiceDelta(index, text, (token,), logprobs, reports, reason, None, stats)
