"""What the engine and the processes of its grammars say to each other. Torch-free."""

from __future__ import annotations

import struct
from dataclasses import dataclass

# To the parent: what is wanted, and a child's number; with FORK comes a socket, the child's end.
ORDER = struct.Struct("<cQ")
FORK, END = b"f", b"e"

# To a child, after its structure as JSON: what is wanted, a place's number, a token or the new place's number.
CALL = struct.Struct("<cII")
ADVANCE, ACCEPTS, COPY = b"a", b"v", b"c"

# From a child: a place's number and flags, then bits, or a message after the last three. COPY has no reply.
REPLY = struct.Struct("<IB")
COMPLETE, EXHAUSTED, ERROR, REFUSED, FAILED = 1, 2, 4, 8, 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What one structure may cost; its process is ended where it costs more. Large ordinary schemas (hundreds of
    properties, 40 KB) take some 60 ms to compile, steps of them less than a millisecond.

    Attributes:
        compile_seconds: CPU seconds to compile it and to find what may come first.
        step_seconds: CPU seconds to move on by a token and to find what may follow.
        memory_bytes: beyond what the library and the vocabulary take.
    """

    compile_seconds: float = 1.0
    step_seconds: float = 0.25
    memory_bytes: int = 256 << 20
