"""The output items of a response and the typed events that build them ("Streaming events" pages of OpenAI's reference).

Streams and whole answers are made in the same way: a whole answer is the items that the events have built.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from server.tools.parts import AnswerPart, AnswerText, ReasoningText, ToolCallArguments, ToolCallBegin

Event = dict[str, Any]


class OutputItems:
    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None

    @property
    def says(self) -> bool:
        """Whether the open item is a message, or the next one would be."""
        return not self.items or self._kind() == "message"

    def add(self, part: AnswerPart, logprobs: Sequence[dict[str, Any]]) -> list[Event]:
        """The events of one more part; ``logprobs`` are of its tokens, and shown for text only."""
        match part:
            case AnswerText(text):
                events = [] if self._kind() == "message" else self.close("completed") + self._begin_message()
                return [*events, self._say(text, logprobs)]
            case ReasoningText(text):
                events = [] if self._kind() == "reasoning" else self.close("completed") + self._begin_reasoning()
                return [*events, self._think(text)]
            case ToolCallBegin(_, id, name):
                item = {
                    "id": _id("fc"), "type": "function_call", "status": "in_progress", "call_id": id, "name": name,
                    "arguments": "",
                }  # fmt: skip
                return [*self.close("completed"), self._begin(item)]
            case ToolCallArguments(_, text):
                assert self._open is not None
                self._open["arguments"] += text
                return [self._at("response.function_call_arguments.delta", delta=text)]

    def finish(self, status: str) -> list[Event]:
        """Close the open item; an empty answer becomes an empty message."""
        begun = [] if self.items else self._begin_message()
        return begun + self.close(status)

    def close(self, status: str) -> list[Event]:
        item = self._open
        if item is None:
            return []
        events = []
        if item["type"] == "message":
            part = item["content"][0]
            short = [_short(logprob) for logprob in part["logprobs"]]
            events.append(self._at("response.output_text.done", content_index=0, text=part["text"], logprobs=short))
            events.append(self._at("response.content_part.done", content_index=0, part=dict(part)))
        elif item["type"] == "reasoning":
            part = item["content"][0]
            events.append(self._at("response.reasoning_text.done", content_index=0, text=part["text"]))
            events.append(self._at("response.content_part.done", content_index=0, part=dict(part)))
        else:
            done = {"arguments": item["arguments"], "name": item["name"]}
            events.append(self._at("response.function_call_arguments.done", **done))
        item["status"] = status
        events.append(self._whole("response.output_item.done"))
        self._open = None
        return events

    def _kind(self) -> str | None:
        return self._open["type"] if self._open else None

    def _begin_message(self) -> list[Event]:
        item: dict[str, Any] = {
            "id": _id("msg"),
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        events = [self._begin(item), self._at("response.content_part.added", content_index=0, part=dict(part))]
        item["content"] = [part | {"logprobs": []}]
        return events

    def _begin_reasoning(self) -> list[Event]:
        item: dict[str, Any] = {
            "id": _id("rs"), "type": "reasoning", "status": "in_progress", "summary": [], "content": [],
        }  # fmt: skip
        part = {"type": "reasoning_text", "text": ""}
        events = [self._begin(item), self._at("response.content_part.added", content_index=0, part=dict(part))]
        item["content"] = [part]
        return events

    def _think(self, text: str) -> Event:
        assert self._open is not None
        self._open["content"][0]["text"] += text
        return self._at("response.reasoning_text.delta", content_index=0, delta=text)

    def _begin(self, item: dict[str, Any]) -> Event:
        self._open = item
        self.items.append(item)
        return self._whole("response.output_item.added")

    def _say(self, text: str, logprobs: Sequence[dict[str, Any]]) -> Event:
        assert self._open is not None
        part = self._open["content"][0]
        part["text"] += text
        part["logprobs"] += logprobs
        short = [_short(logprob) for logprob in logprobs]
        return self._at("response.output_text.delta", content_index=0, delta=text, logprobs=short)

    def _at(self, type: str, **more: Any) -> Event:
        assert self._open is not None
        return {"type": type, "item_id": self._open["id"], "output_index": len(self.items) - 1, **more}

    def _whole(self, type: str) -> Event:
        return {"type": type, "output_index": len(self.items) - 1, "item": dict(self._open or {})}


def _short(logprob: dict[str, Any]) -> dict[str, Any]:
    """Log-probabilities as events show them, without bytes."""
    top = [{"token": other["token"], "logprob": other["logprob"]} for other in logprob["top_logprobs"]]
    return {"token": logprob["token"], "logprob": logprob["logprob"], "top_logprobs": top}


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"
