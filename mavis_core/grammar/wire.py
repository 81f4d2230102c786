"""What the engine and the processes of its grammars say to each other. Torch-free."""

from __future__ import annotations

import struct
import weakref
from dataclasses import dataclass
from io import BufferedReader
from socket import socket

# To the parent: what to do, and a child's number; with FORK comes a socket, the child's end.
ORDER = struct.Struct("<cQ")
FORK, END = b"f", b"e"

# To a child, after its structure as JSON: what to do, a place's number, a token or the new place's number.
CALL = struct.Struct("<cII")
ADVANCE, ACCEPTS, COPY = b"a", b"v", b"c"

# From a child: a place's number and flags, then bits, or a message after the last three, with REFUSED as JSON of it and
# the param. COPY has no reply.
REPLY = struct.Struct("<IB")
COMPLETE, EXHAUSTED, ERROR, REFUSED, FAILED = 1, 2, 4, 8, 16

LENGTH = struct.Struct("<I")


class Line:
    """Messages over a stream socket: one system call to send a message, and one to receive one that comes alone.

    A token takes four of them, there and back; ``multiprocessing``'s connections would need a dozen.
    """

    def __init__(self, end: socket) -> None:
        self._socket = end
        self._reader = end.makefile("rb")
        weakref.finalize(self, _close, self._reader, end)

    def send(self, message: bytes) -> None:
        self._socket.sendall(LENGTH.pack(len(message)) + message)

    def receive(self, seconds: float | None = None) -> bytes:
        """The next message; raises EOFError after the last one, TimeoutError where it takes longer, OSError."""
        self._socket.settimeout(seconds)
        head = self._reader.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise EOFError
        return self._reader.read(LENGTH.unpack(head)[0])


def _close(reader: BufferedReader, end: socket) -> None:
    reader.close()
    end.close()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one structure may cost; its process is ended where it costs more. Large ordinary schemas (hundreds of
    properties, 40 KB) take some 60 ms to compile, steps of them less than a millisecond.

    Attributes:
        compile_seconds: CPU seconds to compile it and to find what may come first.
        step_seconds: CPU seconds to move on by a token and to find what may follow.
        memory_bytes: memory beyond that of the library and the vocabulary.
    """

    compile_seconds: float = 0.5
    step_seconds: float = 0.25
    memory_bytes: int = 256 << 20
