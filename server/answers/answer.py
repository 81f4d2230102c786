"""The interface by which the engine's outputs become a client's answer.

One ``Answer`` belongs to one HTTP request. It is asked either for the events of a stream, one engine output at a time,
or for everything at once; not for both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import orjson

from mavis_core.api.messages import RequestOutput


class Answer(ABC):
    id: str

    @abstractmethod
    def collect(self, prompt: int, output: RequestOutput) -> None:
        """Add one engine output of prompt number ``prompt`` to the whole answer."""

    @abstractmethod
    def whole(self) -> bytes:
        """The whole answer, of all collected outputs, as JSON."""

    @abstractmethod
    def events(self, prompt: int, output: RequestOutput) -> bytes:
        """The server-sent events of one engine output, perhaps none."""

    @abstractmethod
    def ending(self) -> bytes:
        """The events after the last output."""

    @abstractmethod
    def failure(self, error: Exception) -> bytes:
        """The events that end a stream in which something went wrong."""


def event_line(chunk: dict[str, Any]) -> bytes:
    """A chunk as a server-sent event; JSON has no line breaks, so it is one ``data:`` line."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
