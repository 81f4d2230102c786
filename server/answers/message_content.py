"""The content blocks of a message and the events that build them (Anthropic's "Streaming Messages" page).

Streams and whole answers are made in the same way: a whole answer is the blocks that the events have built. Reasoning
is a block of type thinking, whose signature is empty: there is nobody who would check one.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from server.tools.parts import AnswerPart, AnswerText, ReasoningText, ToolCallArguments, ToolCallBegin

Event = dict[str, Any]


class MessageContent:
    def __init__(self) -> None:
        self.blocks: list[dict[str, Any]] = []
        self._pieces: list[str] = []  # of the open block
        self._open = False

    @property
    def calls(self) -> bool:
        """Whether a tool is called."""
        return any(block["type"] == "tool_use" for block in self.blocks)

    def add(self, part: AnswerPart) -> list[Event]:
        match part:
            case AnswerText(text):
                begun = self._within({"type": "text", "text": "", "citations": None})
                return [*begun, self._more(text, {"type": "text_delta", "text": text})]
            case ReasoningText(text):
                begun = self._within({"type": "thinking", "thinking": "", "signature": ""})
                return [*begun, self._more(text, {"type": "thinking_delta", "thinking": text})]
            case ToolCallBegin(_, id, name):
                return self._begin({"type": "tool_use", "id": id, "name": name, "input": {}})
            case ToolCallArguments(_, text):
                return [self._more(text, {"type": "input_json_delta", "partial_json": text})]

    def close(self) -> list[Event]:
        if not self._open:
            return []
        block, said = self.blocks[-1], "".join(self._pieces)
        if block["type"] == "tool_use":
            block["input"] = input_of(said)
        else:
            block[block["type"]] = said
        self._pieces, self._open = [], False
        return [{"type": "content_block_stop", "index": len(self.blocks) - 1}]

    def _within(self, block: dict[str, Any]) -> list[Event]:
        """Begin ``block`` unless one of its type is open."""
        return [] if self._open and self.blocks[-1]["type"] == block["type"] else self._begin(block)

    def _begin(self, block: dict[str, Any]) -> list[Event]:
        closed = self.close()
        self.blocks.append(block)
        self._open = True
        start = {"type": "content_block_start", "index": len(self.blocks) - 1, "content_block": dict(block)}
        return [*closed, start]

    def _more(self, text: str, delta: dict[str, str]) -> Event:
        self._pieces.append(text)
        return {"type": "content_block_delta", "index": len(self.blocks) - 1, "delta": delta}


def input_of(arguments: str) -> dict[str, Any]:
    """The arguments of a call as an object; of a call that was cut, what of them is whole."""
    try:
        read = from_json(arguments or "{}", allow_partial=True)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
