"""Single numbers of a GGUF file's header. The package ``gguf`` makes an array of every string there, for seconds."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection
from pathlib import Path

# struct's letter for each type, by its number in the format.
NUMBERS = ["B", "b", "H", "h", "I", "i", "f", "?", "s", "a", "Q", "q", "d"]
STRING, ARRAY = NUMBERS.index("s"), NUMBERS.index("a")


class _Reader:
    """At ``at`` in ``data``; lengths are 64 bits wide, as since the format's second version."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self.data, self.at = data, at

    def number(self, kind: int) -> int | float:
        found: tuple[int | float] = struct.unpack_from(f"<{NUMBERS[kind]}", self.data, self.at)
        self.at += struct.calcsize(f"<{NUMBERS[kind]}")
        return found[0]

    def length(self) -> int:
        return int(self.number(NUMBERS.index("Q")))

    def string(self) -> bytes:
        end = self.length() + self.at
        self.at, found = end, self.data[self.at : end]
        return found

    def value(self) -> int | float | None:
        """The number that is next, None for what is no number."""
        kind, count = self._kind(), 1
        if kind == ARRAY:
            kind, count = self._kind(), self.length()
            if kind != STRING:
                self.at += count * struct.calcsize(f"<{NUMBERS[kind]}")
                return None
        elif kind != STRING:
            return self.number(kind)
        for _ in range(count):
            self.at += 8 + struct.unpack_from("<Q", self.data, self.at)[0]
        return None

    def _kind(self) -> int:
        return int(self.number(NUMBERS.index("I")))


def numbers(file: Path, keys: Collection[str]) -> dict[str, int | float]:
    """Those of ``keys`` that the header has, in its order. The file must be one that transformers has read."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(data, len(b"GGUF") + 4)
        reader.length()  # how many tensors
        found = {reader.string().decode(): reader.value() for _ in range(reader.length())}
    return {key: number for key, number in found.items() if key in keys and number is not None}
