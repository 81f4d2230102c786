"""Messages: Anthropic's "Message" object and its stream of typed events.

A stream ends with ``message_stop``, or with ``error``. What steering did is in the message as ``guidance``, in a stream
in its ``message_delta``.
"""

from __future__ import annotations

from typing import Any

import orjson

from mavis_core.api.messages import ChoiceDelta, RequestOutput
from server.answers.answer import Answer
from server.answers.context import AnswerContext
from server.answers.message_content import Event, MessageContent
from server.answers.steering_told import SteeringTold
from server.errors import error_body, http_error_of
from server.http.error_response import anthropic_error
from server.tools.use import ToolUse


class MessageAnswer(Answer):
    def __init__(self, id: str, request_id: str, context: AnswerContext, tools: ToolUse) -> None:
        self.id, self._request_id, self._context = id, request_id, context
        self._reader, self._content = context.dialect.reader(tools, context.sampling.reasoning), MessageContent()
        self._output_tokens = self._cached_tokens = 0
        self._started = False
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._steering = SteeringTold(context)

    def collect(self, prompt: int, output: RequestOutput) -> None:
        self._advance(output)

    def whole(self) -> bytes:
        return orjson.dumps(self._message() | {"guidance": self._steering.report()})

    def events(self, prompt: int, output: RequestOutput) -> bytes:
        self._cached_tokens = max(self._cached_tokens, output.cached_tokens)  # told as soon as the message begins
        return _lines(self._start() + self._advance(output))

    def ending(self) -> bytes:
        delta = {"stop_reason": self._stop_reason, "stop_sequence": self._stop_sequence}
        return _lines([
            {"type": "message_delta", "delta": delta, "usage": self._usage(), "guidance": self._steering.report()},
            {"type": "message_stop"},
        ])  # fmt: skip

    def failure(self, error: Exception) -> bytes:
        message = error_body(error)["error"]["message"]
        return _lines([anthropic_error(http_error_of(error).status, message, self._request_id)])

    def _start(self) -> list[Event]:
        if self._started:
            return []
        self._started = True
        return [{"type": "message_start", "message": self._message()}]

    def _advance(self, output: RequestOutput) -> list[Event]:
        self._cached_tokens = max(self._cached_tokens, output.cached_tokens)
        return [event for delta in output.deltas for event in self._take(delta)]

    def _take(self, delta: ChoiceDelta) -> list[Event]:
        self._output_tokens += len(delta.token_ids)
        self._steering.take(delta)
        last = delta.finish_reason is not None
        events = [event for part in self._reader.read(delta.text, last) for event in self._content.add(part)]
        self._steering.tell_change(events)
        if last:
            events += self._content.close()
            self._stop_reason, self._stop_sequence = self._stopped(delta)
        return events

    def _stopped(self, delta: ChoiceDelta) -> tuple[str, str | None]:
        """Why it ended, and at which stop sequence; a call that was cut is not one to make."""
        if delta.finish_reason == "length":
            return "max_tokens", None
        if self._content.calls and not self._reader.cut:
            return "tool_use", None
        if isinstance(delta.stop_reason, str):
            return "stop_sequence", delta.stop_reason
        return "end_turn", None

    def _message(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self._context.model,
            "content": list(self._content.blocks),
            "stop_reason": self._stop_reason,
            "stop_sequence": self._stop_sequence,
            "usage": self._usage(),
        }

    def _usage(self) -> dict[str, int]:
        return {
            "input_tokens": len(self._context.prompts[0]) - self._cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": self._cached_tokens,
            "output_tokens": self._output_tokens,
        }


def _lines(events: list[Event]) -> bytes:
    lines = [b"event: " + event["type"].encode() + b"\ndata: " + orjson.dumps(event) for event in events]
    return b"".join(line + b"\n\n" for line in lines)
