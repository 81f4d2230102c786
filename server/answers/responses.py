"""Responses: "The response object" page and its stream of typed, numbered events.

A stream has no ``[DONE]``: it ends with ``response.completed``, ``response.incomplete`` or ``response.failed``.
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from mavis_core.api.messages import ChoiceDelta, RequestOutput
from server.answers.answer import Answer
from server.answers.context import AnswerContext
from server.answers.output_items import Event, OutputItems
from server.answers.padding import padding
from server.answers.steering_told import SteeringTold
from server.answers.token_logprobs import token_logprobs
from server.errors import error_body
from server.protocol.responses import ResponsesRequest
from server.tools.parts import AnswerText
from server.tools.use import ToolUse


class ResponseAnswer(Answer):
    def __init__(self, id: str, context: AnswerContext, body: ResponsesRequest, tools: ToolUse) -> None:
        self.id, self._context, self._body = id, context, body
        self._created = int(time.time())
        self._reader, self._items = context.dialect.reader(tools, context.sampling.reasoning), OutputItems()
        self._tracker = context.tracker()
        self._parallel = tools.parallel
        self._output_tokens = self._cached_tokens = self._number = 0
        self._started = False
        self._status = "in_progress"
        self._error: dict[str, str] | None = None
        self._steering = SteeringTold(context)
        self._logprob_reading = context.reading(0)
        self._logprobs: list[dict[str, Any]] = []  # of the text that the reader still holds back

    def collect(self, prompt: int, output: RequestOutput) -> None:
        self._advance(output)

    def whole(self) -> bytes:
        return orjson.dumps(self._response())

    def events(self, prompt: int, output: RequestOutput) -> bytes:
        return self._lines(self._start() + self._advance(output))

    def ending(self) -> bytes:
        return self._lines([{"type": f"response.{self._status}", "response": self._response()}])

    def failure(self, error: Exception) -> bytes:
        told = error_body(error)["error"]
        self._status, self._error = "failed", {"code": "server_error", "message": told["message"]}
        return self._lines([*self._start(), *self._items.close("incomplete"),
                            {"type": "response.failed", "response": self._response()}])  # fmt: skip

    def _start(self) -> list[Event]:
        if self._started:
            return []
        self._started = True
        response = self._response()
        return [{"type": kind, "response": response} for kind in ("response.created", "response.in_progress")]

    def _advance(self, output: RequestOutput) -> list[Event]:
        self._cached_tokens = max(self._cached_tokens, output.cached_tokens)
        return [event for delta in output.deltas for event in self._take(delta)]

    def _take(self, delta: ChoiceDelta) -> list[Event]:
        self._output_tokens += len(delta.token_ids)
        self._steering.take(delta)
        self._logprobs += [token_logprobs(self._logprob_reading, position) for position in delta.logprobs]
        reasoned = [self._tracker is not None and self._tracker.push(token) for token in delta.token_ids]
        if any(reasoned):
            self._logprobs.clear()  # only those of text are told
        events = []
        for part in self._reader.read(delta.text, last=delta.finish_reason is not None):
            logprobs, self._logprobs = self._logprobs, []
            events += self._items.add(part, logprobs)
        self._steering.tell_change(events)
        if delta.finish_reason:
            if self._logprobs and self._items.says:  # they are of a stop token or string, which has no text
                events += self._items.add(AnswerText(""), self._logprobs)
            self._status = "incomplete" if delta.finish_reason == "length" else "completed"
            events += self._items.finish("incomplete" if self._reader.cut else self._status)
        return events

    def _lines(self, events: list[Event]) -> bytes:
        lines = []
        for event in events:
            numbered = event | {"sequence_number": self._number}
            if self._context.obfuscated and "delta" in event:
                numbered["obfuscation"] = padding(orjson.dumps([event["delta"], event.get("logprobs")]))
            self._number += 1
            lines.append(b"event: " + event["type"].encode() + b"\ndata: " + orjson.dumps(numbered) + b"\n\n")
        return b"".join(lines)

    def _response(self) -> dict[str, Any]:
        body, sampling = self._body, self._context.sampling
        done = self._status in ("completed", "incomplete")
        said = body.model_dump(include={"text", "tool_choice", "tools"}, exclude_unset=True, by_alias=True)
        text = said.get("text") or {}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "completed_at": int(time.time()) if self._status == "completed" else None,
            "status": self._status,
            "background": False,
            "error": self._error,
            "incomplete_details": {"reason": "max_output_tokens"} if self._status == "incomplete" else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": {key: value for key, value in (body.metadata or {}).items() if isinstance(value, str)},
            "model": self._context.model,
            "output": list(self._items.items),  # a copy: an event is encoded after later ones have changed the list
            "parallel_tool_calls": self._parallel,
            "previous_response_id": None,
            "reasoning": None,
            "store": False,
            "temperature": sampling.temperature,
            "text": {"format": text.get("format") or {"type": "text"}},
            "tool_choice": said.get("tool_choice") or "auto",
            "tools": [
                {"parameters": None, "strict": None} | tool
                for tool in said.get("tools") or []
                if tool["type"] == "function"
            ],
            "top_logprobs": sampling.logprobs or 0,
            "top_p": sampling.top_p,
            "truncation": "disabled",
            "usage": self._usage() if done else None,
            "user": body.user,
            "guidance": self._steering.report() if done else None,
        }

    def _usage(self) -> dict[str, Any]:
        prompt = len(self._context.prompts[0])
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": self._cached_tokens, "cache_write_tokens": 0},
            "output_tokens": self._output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0 if self._tracker is None else self._tracker.tokens},
            "total_tokens": prompt + self._output_tokens,
        }
