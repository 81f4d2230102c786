"""The content blocks of a message and the events that build them (Anthropic's "Streaming Messages" page).

Streams and whole answers are made in the same way: a whole answer is the blocks that the events have built.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from server.tools.reader import AnswerPart, AnswerText, ToolCallArguments, ToolCallBegin

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
                events = [] if self._open and self.blocks[-1]["type"] == "text" else self._begin(
                    {"type": "text", "text": "", "citations": None}
                )  # fmt: skip
                return [*events, self._more(text, {"type": "text_delta", "text": text})]
            case ToolCallBegin(_, id, name):
                return self._begin({"type": "tool_use", "id": id, "name": name, "input": {}})
            case ToolCallArguments(_, text):
                return [self._more(text, {"type": "input_json_delta", "partial_json": text})]

    def close(self) -> list[Event]:
        if not self._open:
            return []
        block, said = self.blocks[-1], "".join(self._pieces)
        if block["type"] == "text":
            block["text"] = said
        else:
            block["input"] = input_of(said)
        self._pieces, self._open = [], False
        return [{"type": "content_block_stop", "index": len(self.blocks) - 1}]

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
