"""An ``EngineClient`` and a tokenizer without a model: every answer is a script, one byte per token and step.

It keeps the same promises as the real ones (``tests/mavis_core/api/test_client.py`` holds all of them to these), takes
and refuses requests by the same checks, and makes text with the same code. What it leaves out is the drawing: the
script goes on whatever a request asks about sampling, and from the start again where it is too short.

Numbers that a test can predict: each guided token costs 0.25 nats of steering and 0.05 of truncation, and an
objective's value is twice its weight. Of every prompt four tokens are cached. A given "z" is never a candidate.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError

from mavis_core.api.engine_client import EngineState
from mavis_core.api.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    LoadError,
    QueueFullError,
    UnknownRequestError,
    UnknownValueError,
    ValueConflictError,
)
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import (
    ChoiceDelta,
    EngineInfo,
    GuidanceStats,
    ObjectiveInfo,
    Request,
    RequestOutput,
    SearchStats,
    StepStats,
    TokenLogprobs,
    TokenReport,
    failure,
)
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.search_params import SearchParams
from mavis_core.schedule.admission import Admission
from mavis_core.schedule.new_steering import take_over
from mavis_core.schedule.row import Row
from mavis_core.search.driver import check_search
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


@lru_cache
def compiled(template: str) -> Template:
    """Compiling takes longer than all else that most requests of a test do."""
    made: Template = Template(template)
    return made


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
        template = compiled(kwargs.pop("chat_template"))
        rendered: str = template.render(messages=conversation, raise_exception=refuse, **kwargs)
        return rendered

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
        """``ends``: after the script comes the stop token, which is no text. Without it the end of the script is the
        answer's where the request sets no limit."""
        self.script = [*script, *([EOS] if ends else [])]
        self.refused_structure = ""  # refuse a structure whose source contains this
        self.state: EngineState = "ready"
        self.latency = latency
        self.limit = limit
        self.requests: list[Request] = []
        self.aborted: list[str] = []
        self.running: set[str] = set()
        self.fail_at: int | None = None  # die at this token of a request
        self.closed = False
        self.rewarding = False  # objective "cheerful" and "polite", by the length of an answer
        self._rows: dict[str, list[Row]] = {}
        self._places: dict[str, int] = {}
        self._searches: set[str] = set()
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
        return sum(self._places.get(name, 1) for name in self.running)

    def on_step(self, callback: Callable[[StepStats], None]) -> None:
        self._callbacks.append(callback)

    async def generate(self, request: Request) -> AsyncGenerator[RequestOutput, None]:
        rows = self._admit(request)
        prompt = len(request.prompt_token_ids)
        cached = 0 if request.cache_salt else min(CACHED, prompt - 1)
        step, ended = 0, False
        try:
            while not ended:
                await asyncio.sleep(self.latency)
                if step == self.fail_at:
                    self.state = "dead"
                if self.state == "dead":
                    ended = True
                    raise EngineUnavailableError("the engine died")
                deltas = tuple(self._delta(row, step) for row in rows if row.finish_reason is None)
                if (search := request.guidance.search) is not None:
                    deltas = tuple(_searched(delta, search) for delta in deltas)
                if ended := all(row.finish_reason is not None for row in rows):
                    self._forget(request.id)
                taken = sum(len(delta.token_ids) for delta in deltas)
                self._tell(taken, *((0, 0) if step else (prompt, cached)), given=bool(request.answers))
                scored = None if step else self._scored(request)
                yield RequestOutput(request.id, prompt, deltas, ended, prompt_logprobs=scored, cached_tokens=cached)
                step += 1
        finally:
            self._forget(request.id)
            if not ended:
                self.aborted.append(request.id)
                if not self.running:
                    self._tell_idle()

    def _admit(self, request: Request) -> list[Row]:
        """Take a request in, or refuse it as the real ones do: by the queue first, then by the engine's own checks."""
        places = request.places
        if self.state != "ready":
            raise EngineUnavailableError(f"the engine is {self.state}")
        if places > self.limit:
            many = "answers" if request.answers else "n"
            param = many if request.guidance.search is None else "guidance.search"
            raise InvalidRequestError(f"{param} takes {places} rows: this server has {self.limit} places", param)
        if self.in_flight + places > self.limit:
            raise QueueFullError(self.in_flight, self.limit)
        if request.id in self.running:
            raise InvalidRequestError(f"request id {request.id!r} is in flight already", "id")
        try:
            rows = self._made(request)
        except InvalidRequestError as error:
            refused = failure(request.id, len(request.prompt_token_ids), str(error), error.param or "").exception
            assert refused is not None
            raise refused from error
        self.requests.append(request)
        self.running.add(request.id)
        self._rows[request.id], self._places[request.id] = rows, places
        if request.guidance.search is not None:
            self._searches.add(request.id)
        return rows

    def _made(self, request: Request) -> list[Row]:
        structure, guidance = request.sampling.structure, request.guidance
        if structure is not None and self.refused_structure and self.refused_structure in structure.source:
            raise InvalidRequestError("structure: cannot be followed", "structure")
        if guidance.search is not None:
            check_search(request, self._info, None)
            guidance = replace(guidance, search=None)
        plain = replace(request, guidance=guidance, sampling=replace(request.sampling, seed=request.sampling.seed or 0))
        return self._admission.rows(plain)

    @property
    def _admission(self) -> Admission:
        return Admission(self._info.room, VOCAB, (EOS,), self._info.objectives, FakeTokenizer(), {})

    async def steer(
        self, request_id: str, guidance: Guidance, prompted: tuple[PromptedObjective, ...] | None = None
    ) -> tuple[int, ...]:
        rows = self._rows.get(request_id)
        if rows is None:
            raise UnknownRequestError(request_id)
        request = rows[0].request.steered(guidance, prompted)
        if request_id in self._searches:
            raise InvalidRequestError("guidance.search: cannot be steered otherwise", "guidance.search")
        if self.in_flight - self._places[request_id] + request.places > self.limit:
            raise QueueFullError(self.in_flight, self.limit)
        made = self._admission.rows_anew(request, max(row.output_length for row in rows))
        for row in rows:
            take_over(row, made[row.index])
        self._places[request_id] = request.places
        self.requests.append(request)
        return tuple(row.output_length for row in rows)

    def _forget(self, name: str) -> None:
        self.running.discard(name)
        self._rows.pop(name, None)
        self._places.pop(name, None)
        self._searches.discard(name)

    def _tell(self, taken: int, prompt: int, cached: int, given: bool) -> None:
        """One step's statistics, of one request: that all rows are in one batch cannot be seen."""
        usage = 0.5 if self.running else 0.0
        drawn, scored = (0, taken) if given else (taken, 0)
        stats = StepStats(
            self.in_flight, 0, prompt - cached, drawn, 0, usage, 0.01, 0.002, prompt, cached, scored_tokens=scored
        )
        for callback in self._callbacks:
            callback(stats)

    def _tell_idle(self) -> None:
        for callback in self._callbacks:
            callback(StepStats(0, 0, 0, 0, 0, 0.0, 0.0, 0.0, idle=True))

    async def rewards(self, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> list[dict[str, float]] | None:
        if not self.rewarding:
            return None
        return [{"cheerful": len(answer) / 10, "polite": 1.0} for answer in answers]

    async def load_value(self, source: str) -> EngineInfo:
        """Every folder holds one objective of its own name; one named ``unfit`` is refused."""
        self._check_ready()
        name = source.rpartition("/")[2]
        if name == "unfit":
            raise LoadError("unfit: trained for another policy")
        if any(objective.name == name for objective in self._info.objectives):
            raise ValueConflictError(f"objective {name!r} is scored already")
        new = ObjectiveInfo(name, f"how {name} it is", "lm", name, 0.1, 0.5, 1.5, (-4.0, 4.0))
        self._info = replace(self._info, objectives=(*self._info.objectives, new))
        return self._info

    async def unload_value(self, name: str) -> EngineInfo:
        self._check_ready()
        gone = {objective.name for objective in self._info.objectives if objective.value == name}
        if not gone:
            raise UnknownValueError(f"no value named {name!r} is loaded")
        if any(gone & row.request.guidance.weights.keys() for rows in self._rows.values() for row in rows):
            raise ValueConflictError(f"value {name!r} is in use")
        left = tuple(objective for objective in self._info.objectives if objective.name not in gone)
        self._info = replace(self._info, objectives=left)
        return self._info

    def _check_ready(self) -> None:
        if self.state != "ready":
            raise EngineUnavailableError(f"the engine is {self.state}")

    async def drain(self, seconds: float) -> bool:
        if self.state == "ready":
            self.state = "draining"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.running:  # noqa: ASYNC110 (tests put names into it)
                    await asyncio.sleep(0.01)
        return not self.running

    async def close(self) -> None:
        self.closed = True
        self.state = "dead"

    def _scored(self, request: Request) -> tuple[TokenLogprobs | None, ...] | None:
        """Log-probability -id / 100; "z" is always likelier than the prompt's own."""
        if request.sampling.prompt_logprobs is None:
            return None
        top = ((ord("z"), -0.01), (ord("y"), -0.02))[: request.sampling.prompt_logprobs]
        return (None, *(TokenLogprobs(i, -i / 100, top, -i / 100) for i in request.prompt_token_ids[1:]))

    def _delta(self, row: Row, step: int) -> ChoiceDelta:
        if row.limit == row.prompt_length:
            row.finish_reason = "length"
            return ChoiceDelta(row.index, "", (), finish_reason="length")
        token, sampling, guidance = self.script[step % len(self.script)], row.request.sampling, row.request.guidance
        token = row.answer[step] if row.answer else token
        row.tokens.append(token)
        text, stop = self._finish(row, token)
        logprobs: tuple[TokenLogprobs, ...] = ()
        if sampling.logprobs is not None:
            top = ((token, -0.5), (ord("z"), -1.5), (0xE2, -2.5))[: sampling.logprobs]
            logprobs = (TokenLogprobs(token, -0.5, top, -0.5),)
        reports: tuple[TokenReport, ...] = ()
        if row.guided and (guidance.report or row.answer):
            logprob = -math.inf if row.answer and token == ord("z") else -0.5
            reports = (TokenReport(token, logprob, -0.75, STEERING, TRUNCATION, _values(row)),)
        elif row.answer:
            reports = (TokenReport(token, -0.75, -0.75, 0.0, 0.0, {}),)
        row.guided_tokens += row.guided
        told = row.guided_tokens and row.finish_reason is not None
        stats = self._stats(row, row.guided_tokens) if told else None
        change, row.change = row.change, None
        nats = (STEERING + TRUNCATION,) if row.guided else ()
        return ChoiceDelta(row.index, text, (token,), logprobs, reports, row.finish_reason, stop, stats, change, nats)

    def _finish(self, row: Row, token: int) -> tuple[str, str | int | None]:
        """Text that became final, and what stopped the row beyond the script's end; sets its ``finish_reason``."""
        sampling = row.request.sampling
        if row.answer:
            row.finish_reason = "length" if len(row.tokens) >= row.limit else None
            return "", None
        if token in row.stop_ids:
            row.finish_reason = "stop"
            return row.detokenizer.flush(), None if token in row.stop_ids[: row.eos_count] else token
        text, stop = row.detokenizer.push(token, row.output_length > sampling.min_tokens)
        if stop is not None:
            row.finish_reason = "stop"
            return text, stop
        at_limit = len(row.tokens) >= row.limit
        over = sampling.max_tokens is None and not sampling.ignore_eos and row.output_length == len(self.script)
        if at_limit or over:
            row.finish_reason = "length" if at_limit else "stop"
            text += row.detokenizer.flush()
        return text, None

    def _stats(self, row: Row, count: int) -> GuidanceStats:
        """Of ``count`` tokens so far."""
        values = _values(row)
        spread = dict.fromkeys(values, 1.0)
        steering, truncation = count * STEERING, count * TRUNCATION
        return GuidanceStats(row.beta, count, steering, truncation, count * 0.2, values, 0.9, spread)


def _values(row: Row) -> dict[str, float]:
    return {name: 2 * weight for name, weight in row.request.guidance.weights.items()}


def _searched(delta: ChoiceDelta, search: SearchParams) -> ChoiceDelta:
    """A searched choice says at its end what steering did, and what the search."""
    if delta.guidance is None:
        return delta
    bound = None if search.method == "beam" else 0.7
    stats = SearchStats(search.method, 1, search.rows, search.rows * delta.guidance.tokens, 1.25, bound)
    return replace(delta, guidance=replace(delta.guidance, search=stats))
