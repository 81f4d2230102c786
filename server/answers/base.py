"""What chat and text answers share: ids, usage, and how steering and tokens are reported.

One ``Answer`` object belongs to one HTTP request. For a stream it turns each engine output into the bytes of zero or
more events; for a whole answer it collects. Chunks are plain dicts, serialised once by orjson: validating our own
output chunk by chunk would cost more than everything else here (the tests validate it instead).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from mavis_core.messages import ChoiceDelta, FinishReason, GuidanceStats, RequestOutput, TokenLogprobs, TokenReport
from server.token_text import TokenText
from server.weights import Weights


@dataclass(slots=True)
class Choice:
    """One choice of the answer so far; the lists grow only where the whole answer is wanted at once."""

    index: int
    started: bool = False
    text: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    reports: list[TokenReport] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    guidance: GuidanceStats | None = None
    text_length: int = 0


class Answer(ABC):
    object_name: str
    chunk_name: str

    def __init__(
        self,
        *,
        id: str,
        model: str,
        fingerprint: str,
        weights: Weights,
        n: int,
        prompts: int,
        token_text: TokenText,
        wants_logprobs: bool,
        wants_report: bool,
        include_usage: bool,
        continuous_usage: bool,
    ) -> None:
        self.id, self._model, self._fingerprint = id, model, fingerprint
        self._created = int(time.time())
        self._weights = weights
        self._n = n
        self._token_text = token_text
        self._wants_logprobs, self._wants_report = wants_logprobs, wants_report
        self._include_usage, self._continuous_usage = include_usage, continuous_usage
        self._choices = [Choice(index) for index in range(n * prompts)]
        self._prompt_tokens = [0] * prompts
        self._completion_tokens = 0

    def collect(self, prompt: int, output: RequestOutput) -> None:
        """Add one engine output of prompt number ``prompt`` to the whole answer."""
        self._prompt_tokens[prompt] = output.prompt_tokens
        for delta in output.deltas:
            choice = self._take(prompt, delta)
            choice.text.append(delta.text)
            choice.logprobs.extend(delta.logprobs)
            choice.reports.extend(delta.reports)

    def whole(self) -> bytes:
        choices = [self._whole_choice(choice) for choice in self._choices]
        return orjson.dumps(self._frame(self.object_name, choices) | {"usage": self._usage()})

    def chunks(self, prompt: int, output: RequestOutput) -> list[bytes]:
        """The chunks that one engine output makes."""
        self._prompt_tokens[prompt] = output.prompt_tokens
        made = []
        for delta in output.deltas:
            choice = self._take(prompt, delta)
            if not choice.started:
                choice.started = True
                made += [self._chunk([opening]) for opening in self._opening(prompt, choice)]
            if delta.text or delta.finish_reason or delta.logprobs or delta.reports:
                made.append(self._chunk([self._chunk_choice(choice, delta)]))
        return made

    def last_chunks(self) -> list[bytes]:
        """What follows the last output: the usage chunk, where asked for."""
        if not self._include_usage:
            return []
        return [orjson.dumps(self._frame(self.chunk_name, []) | {"usage": self._usage()})]

    @abstractmethod
    def _whole_choice(self, choice: Choice) -> dict[str, Any]: ...

    @abstractmethod
    def _opening(self, prompt: int, choice: Choice) -> list[dict[str, Any]]:
        """Choices of the chunks that come before a choice's first token."""

    @abstractmethod
    def _chunk_choice(self, choice: Choice, delta: ChoiceDelta) -> dict[str, Any]: ...

    def _take(self, prompt: int, delta: ChoiceDelta) -> Choice:
        choice = self._choices[prompt * self._n + delta.index]
        self._completion_tokens += len(delta.token_ids)
        choice.guidance = delta.guidance
        if delta.finish_reason:
            choice.finish_reason, choice.stop_reason = delta.finish_reason, delta.stop_reason
        return choice

    def _frame(self, object_name: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": object_name,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": self._fingerprint,
            "choices": choices,
        }

    def _chunk(self, choices: list[dict[str, Any]]) -> bytes:
        frame = self._frame(self.chunk_name, choices)
        if self._include_usage:
            frame["usage"] = self._usage() if self._continuous_usage else None
        return orjson.dumps(frame)

    def _usage(self) -> dict[str, Any]:
        prompt = sum(self._prompt_tokens)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self._completion_tokens,
            "total_tokens": prompt + self._completion_tokens,
            # The engine keeps no prompt's KV beyond its request, so nothing is ever read from a cache.
            "prompt_tokens_details": {"cached_tokens": 0},
        }

    def _guidance(self, stats: GuidanceStats | None, reports: list[TokenReport]) -> dict[str, Any]:
        steering, truncation = (stats.steering_nats, stats.truncation_nats) if stats else (0.0, 0.0)
        kl = steering + truncation
        report = {
            "weights": self._weights.values,
            "source": self._weights.source,
            "beta": stats.beta if stats else 0.0,
            "kl_nats": kl,
            "kl_per_token": kl / stats.tokens if stats and stats.tokens else 0.0,
            "steering_nats": steering,
            "truncation_nats": truncation,
            "values": stats.values if stats else {},
        }
        if stats and stats.search:
            report["search"] = asdict(stats.search)
        return report | {"tokens": self._reports(reports)} if self._wants_report else report

    def _with_ending(self, made: dict[str, Any], delta: ChoiceDelta) -> dict[str, Any]:
        """A chunk's choice with what only some chunks carry: why it stopped, and its steering."""
        if delta.finish_reason:
            made["stop_reason"] = delta.stop_reason
        guidance = self._chunk_guidance(delta)
        if guidance is not None:
            made["guidance"] = guidance
        return made

    def _chunk_guidance(self, delta: ChoiceDelta) -> dict[str, Any] | None:
        if delta.finish_reason:
            return self._guidance(delta.guidance, list(delta.reports))
        return {"tokens": self._reports(delta.reports)} if delta.reports else None

    def _reports(self, reports: tuple[TokenReport, ...] | list[TokenReport]) -> list[dict[str, Any]]:
        return [
            {
                "token": self._token_text(report.token_id)[0],
                "token_id": report.token_id,
                "logprob": report.logprob,
                "base_logprob": report.base_logprob,
                "steering_nats": report.steering_nats,
                "truncation_nats": report.truncation_nats,
                "values": report.values,
            }
            for report in reports
        ]
