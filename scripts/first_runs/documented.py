"""Commands as the pages write them, so that a newcomer types what stands there and not what we believe stands there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PIP = re.compile(r"`(pip install [^`]+)`")


class NotDocumentedError(Exception):
    """No page says how to do this: a dead end."""


@dataclass(frozen=True, slots=True)
class Page:
    """
    Attributes:
        name: path of the page in the checkout.
        text: of the whole page.
    """

    name: str
    text: str

    @classmethod
    def of(cls, checkout: Path, name: str) -> Page:
        return cls(name, (checkout / name).read_text(encoding="utf-8"))

    def blocks(self, language: str) -> list[str]:
        return [body for found, body in _FENCE.findall(self.text) if found == language]

    def command(self, pattern: str) -> str:
        """The first command of a shell block in which the pattern is found; a line that goes on is one command."""
        lines = [line for block in self.blocks("sh") for line in re.sub(r"\\\n\s*", "", block).splitlines()]
        return self._first(lines, pattern)

    def block(self, language: str, pattern: str) -> str:
        """Likewise a whole block of a language."""
        return self._first(self.blocks(language), pattern)

    def installation(self, pattern: str) -> str:
        """Likewise a ``pip install`` in the text."""
        return self._first(_PIP.findall(self.text), pattern)

    def says(self, *words: str) -> None:
        """Raises NotDocumentedError: one of these words is nowhere on the page."""
        for word in words:
            if word not in self.text:
                raise NotDocumentedError(f"{self.name} does not say {word!r}")

    def _first(self, found: list[str], pattern: str) -> str:
        for each in found:
            if re.search(pattern, each):
                return each
        raise NotDocumentedError(f"{self.name} has nothing that fits {pattern!r}")
