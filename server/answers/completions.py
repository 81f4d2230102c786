"""What chat and text completions share: ids, choices, usage, and how tokens are reported.

Chunks are plain dicts, serialised by orjson: validating our own output chunk by chunk would cost more than everything
else here (the tests validate it instead). Of those that bring text and nothing else, the text alone is serialised.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from mavis_core.api.messages import (
    ChoiceDelta,
    FinishReason,
    GuidanceStats,
    RequestOutput,
    SteeringChange,
    TokenLogprobs,
    TokenReport,
)
from server.answers.answer import Answer, event_line
from server.answers.context import AnswerContext
from server.answers.guidance_report import change_report, guidance_report, token_reports
from server.answers.json_template import JsonTemplate
from server.answers.padding import padding
from server.errors import error_body
from server.protocol.generation import GenerationRequest
from server.text.token_text import Reading
from server.tools.parts import AnswerPart, AnswerText, ReasoningText

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Extras:
    """vLLM's options that only change what an answer shows."""

    stop_in_text: bool = False
    token_ids: bool = False
    tokens_as_ids: bool = False
    prompt_logprobs: bool = False

    @classmethod
    def of(cls, body: GenerationRequest) -> Extras:
        return cls(
            stop_in_text=bool(body.include_stop_str_in_output),
            token_ids=bool(body.return_token_ids),
            tokens_as_ids=bool(body.return_tokens_as_token_ids),
            prompt_logprobs=body.prompt_logprobs is not None,
        )


@dataclass(slots=True)
class Choice:
    """One choice of the answer so far; the lists grow only if the answer is not streamed."""

    index: int
    logprob_reading: Reading  # reads the tokens whose log-probabilities are shown
    report_reading: Reading  # reads the tokens that have reports
    started: bool = False
    tail: tuple[int, ...] = ()  # its last two tokens, where a stop token may be shown
    text: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    reports: list[TokenReport] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    guidance: GuidanceStats | None = None
    changes: list[SteeringChange] = field(default_factory=list)
    templates: dict[type[AnswerPart], JsonTemplate] = field(default_factory=dict)  # chunks that bring such a part


class CompletionsAnswer(Answer):
    object_name: str
    chunk_name: str

    def __init__(self, id: str, context: AnswerContext, extras: Extras) -> None:
        self.id, self._context, self._extras = id, context, extras
        self._created = int(time.time())
        self._n = context.sampling.n
        self._choices = [
            Choice(index, context.reading(index // self._n), context.reading(index // self._n))
            for index in range(self._n * len(context.prompts))
        ]
        self._cached_tokens = [0] * len(context.prompts)
        self._prompt_logprobs: list[Sequence[TokenLogprobs | None]] = [()] * len(context.prompts)
        self._completion_tokens = 0

    def collect(self, prompt: int, output: RequestOutput) -> None:
        self._see(prompt, output)
        for delta in output.deltas:
            choice = self._choice(prompt, delta)
            self._take(choice, delta)
            choice.text.append(self._text(choice, delta))
            choice.token_ids.extend(delta.token_ids)
            choice.logprobs.extend(delta.logprobs)
            choice.reports.extend(delta.reports)

    def whole(self) -> bytes:
        choices = [self._whole_choice(choice) | self._whole_ending(choice) for choice in self._choices]
        return orjson.dumps(self._frame(self.object_name, choices) | self._whole_extras() | {"usage": self._usage()})

    def events(self, prompt: int, output: RequestOutput) -> bytes:
        self._see(prompt, output)
        made = []
        for delta in output.deltas:
            choice = self._choice(prompt, delta)
            if not choice.started:
                choice.started = True
                made += self._opening(choice)  # before the tokens count: usage so far is told with it
            self._take(choice, delta)
            parts = self._parts(choice, delta)
            told = delta.finish_reason or delta.logprobs or delta.reports or delta.change
            if told or (self._extras.token_ids and delta.token_ids):
                last = parts.pop() if parts else None
                made += [self._part_chunk(choice, part) for part in parts]
                made.append(self._chunk([self._shape(choice, last) | self._chunk_ending(choice, delta)]))
            else:
                made += [self._part_chunk(choice, part) for part in parts]
        return b"".join(made)

    def ending(self) -> bytes:
        if not self._context.include_usage:
            return DONE
        return event_line(self._frame(self.chunk_name, []) | {"usage": self._usage()}) + DONE

    def failure(self, error: Exception) -> bytes:
        return event_line(error_body(error)) + DONE

    @abstractmethod
    def _whole_choice(self, choice: Choice) -> dict[str, Any]: ...

    @abstractmethod
    def _whole_extras(self) -> dict[str, Any]:
        """Further fields of the whole answer, beside its choices."""

    @abstractmethod
    def _opening(self, choice: Choice) -> list[bytes]:
        """The chunks before a choice's first token."""

    @abstractmethod
    def _parts(self, choice: Choice, delta: ChoiceDelta) -> list[AnswerPart]:
        """What the delta's text is made of, as far as it is shown."""

    @abstractmethod
    def _shape(self, choice: Choice, part: AnswerPart | None) -> dict[str, Any]:
        """The choice of the chunk that brings a part, without logprobs and ending."""

    def _no_ids(self) -> dict[str, Any]:
        """Of a part whose tokens, if it has any, are told by another part."""
        return {"token_ids": []} if self._extras.token_ids else {}

    @abstractmethod
    def _logprobs(self, choice: Choice, positions: Sequence[TokenLogprobs]) -> dict[str, Any] | None: ...

    def _finish_reason(self, choice: Choice) -> str | None:
        return choice.finish_reason

    def _see(self, prompt: int, output: RequestOutput) -> None:
        self._cached_tokens[prompt] = max(self._cached_tokens[prompt], output.cached_tokens)
        if output.prompt_logprobs is not None:
            self._prompt_logprobs[prompt] = output.prompt_logprobs

    def _choice(self, prompt: int, delta: ChoiceDelta) -> Choice:
        return self._choices[prompt * self._n + delta.index]

    def _take(self, choice: Choice, delta: ChoiceDelta) -> None:
        self._completion_tokens += len(delta.token_ids)
        choice.guidance = delta.guidance
        if delta.change is not None:
            choice.changes.append(delta.change)
        if self._extras.stop_in_text:
            choice.tail = (*choice.tail, *delta.token_ids)[-2:]
        if delta.finish_reason:
            choice.finish_reason, choice.stop_reason = delta.finish_reason, delta.stop_reason

    def _text(self, choice: Choice, delta: ChoiceDelta) -> str:
        """The delta's text, with the stop string or token behind it if that was asked for."""
        if delta.stop_reason is None or not self._extras.stop_in_text:
            return delta.text
        if isinstance(delta.stop_reason, str):
            return delta.text + delta.stop_reason
        before = (*self._context.prompts[choice.index // self._n], *choice.tail[:-1])
        reading = self._context.token_text.reading(self._context.sampling.skip_special_tokens, before)
        return delta.text + reading.visible(delta.stop_reason)

    def _frame(self, object_name: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": object_name,
            "created": self._created,
            "model": self._context.model,
            "system_fingerprint": self._context.fingerprint,
            "choices": choices,
        }

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        """An event."""
        frame = self._frame(self.chunk_name, choices) | more
        if self._context.include_usage:
            frame["usage"] = self._usage() if self._context.continuous_usage else None
        if self._context.obfuscated:
            frame["obfuscation"] = padding(orjson.dumps(choices))
        return event_line(frame)

    def _part_chunk(self, choice: Choice, part: AnswerPart) -> bytes:
        """The event of a chunk that brings a part and nothing else."""
        counts = self._context.include_usage and self._context.continuous_usage
        if counts or self._context.obfuscated or not isinstance(part, AnswerText | ReasoningText):
            return self._chunk([self._shape(choice, part)])
        kind = type(part)
        template = choice.templates.get(kind)
        if template is None:
            template = JsonTemplate(lambda text: self._chunk([self._shape(choice, kind(text))]))
            choice.templates[kind] = template
        return template.fill(part.text)

    def _usage(self) -> dict[str, Any]:
        prompt = sum(map(len, self._context.prompts))
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self._completion_tokens,
            "total_tokens": prompt + self._completion_tokens,
            "prompt_tokens_details": {"cached_tokens": sum(self._cached_tokens)},
        }

    def _whole_ending(self, choice: Choice) -> dict[str, Any]:
        made: dict[str, Any] = {
            "finish_reason": self._finish_reason(choice),
            "stop_reason": choice.stop_reason,
            "guidance": self._report(choice, choice.guidance, token_reports(choice.report_reading, choice.reports)),
        }
        return made | {"token_ids": choice.token_ids} if self._extras.token_ids else made

    def _chunk_ending(self, choice: Choice, delta: ChoiceDelta) -> dict[str, Any]:
        """Fields that only some chunks have: log-probabilities, the finish reason, the guidance."""
        made: dict[str, Any] = {"logprobs": self._logprobs(choice, delta.logprobs)}
        if self._extras.token_ids:
            made["token_ids"] = delta.token_ids
        if delta.finish_reason:
            made["finish_reason"] = self._finish_reason(choice)
            made["stop_reason"] = delta.stop_reason
            reports = token_reports(choice.report_reading, delta.reports)
            made["guidance"] = self._report(choice, delta.guidance, reports)
        elif guidance := self._chunk_guidance(choice, delta):
            made["guidance"] = guidance
        return made

    def _chunk_guidance(self, choice: Choice, delta: ChoiceDelta) -> dict[str, Any]:
        """``ChunkGuidance``, or nothing."""
        made: dict[str, Any] = {}
        if delta.reports:
            made["tokens"] = token_reports(choice.report_reading, delta.reports)
        if delta.change is not None:
            made["change"] = change_report(delta.change)
        return made

    def _report(self, choice: Choice, stats: GuidanceStats | None, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        """The guidance of a choice that has ended."""
        return guidance_report(self._context, stats, tokens, choice.changes)

    def _token_name(self, reading: Reading, token_id: int) -> str:
        return f"token_id:{token_id}" if self._extras.tokens_as_ids else reading.text_of(token_id)

    def _shown_prompt_logprobs(self, prompt: int, most: int) -> list[dict[str, Any] | None]:
        """vLLM's ``prompt_logprobs``: per position token id -> log-probability; the prompt's own token and ``most``."""
        reading = self._context.token_text.reading(self._context.sampling.skip_special_tokens)
        told = []
        for token_id, position in zip(self._context.prompts[prompt], self._prompt_logprobs[prompt], strict=False):
            told.append(None if position is None else self._ranked(reading, position, most))
            reading.read(token_id)
        return told

    def _ranked(self, reading: Reading, position: TokenLogprobs, most: int) -> dict[str, Any]:
        ranks = {token_id: rank for rank, (token_id, _) in enumerate(position.top, 1)}
        shown = {position.token_id: position.logprob} | dict(position.top[:most])
        return {
            str(token_id): {
                "logprob": logprob,
                "rank": ranks.get(token_id),
                "decoded_token": reading.text_of(token_id),
            }
            for token_id, logprob in shown.items()
        }
