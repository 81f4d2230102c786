"""One hostile request as bytes on a socket, and how it is sent.

Raw sockets for all: an HTTP client refuses to send most of what is worth sending.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

JSON = {"content-type": "application/json"}
ADMIN = "hostile-admin-key-0123456789"
CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "Hello"}]
NO_ANSWER = 0
LATER_SECONDS = 0.2


@dataclass(frozen=True)
class Attack:
    """What to send, and how.

    Attributes:
        name: group and kind, for reports.
        data: the whole request as sent.
        shut: close our half after sending, as a client does that wants no more.
        leave: seconds after which we are gone without reading the answer; None reads it.
        drip: seconds between single bytes: a slow client.
        later: sent a moment after ``data``, so that it arrives alone.
        refused: whether any answer but a 4xx is a fault.
        answers: the most that one connection may be given; more, and a body was taken for a request.
    """

    name: str
    data: bytes
    shut: bool = False
    leave: float | None = None
    drip: float | None = None
    later: bytes = b""
    refused: bool = False
    answers: int | None = None


@dataclass(frozen=True)
class Outcome:
    status: int  # NO_ANSWER: the connection was closed without one, or we left
    seconds: float
    answer: bytes


def http(
    name: str, path: str, body: bytes = b"", method: str = "POST", headers: Mapping[str, str] = JSON, **how: object
) -> Attack:
    """A well-formed HTTP/1.1 request around whatever body."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "connection: close", f"content-length: {len(body)}"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return Attack(name, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body, **how)  # type: ignore[arg-type]


def dump(value: object) -> bytes:
    """JSON with what JSON does not have, too: NaN, Infinity, lone surrogates as escapes."""
    return json.dumps(value).encode()


def send(attack: Attack, host: str, port: int, timeout: float = 60.0) -> Outcome:
    """The status and all of the answer; a reset or a timeout counts as no answer, the latter as a slow one."""
    start = time.monotonic()
    received = bytearray()
    with (
        socket.create_connection((host, port), timeout) as connection,
        contextlib.suppress(ConnectionResetError, BrokenPipeError, TimeoutError),
    ):
        if attack.drip is None:
            _send_all(connection, attack.data)
        else:
            for i in range(len(attack.data)):
                connection.sendall(attack.data[i : i + 1])
                time.sleep(attack.drip)
        if attack.later:
            time.sleep(LATER_SECONDS)
            _send_all(connection, attack.later)
        if attack.leave is not None:
            time.sleep(attack.leave)
            return Outcome(NO_ANSWER, 0.0, b"")
        if attack.shut:
            with contextlib.suppress(OSError):  # the server has closed already
                connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(1 << 16):
            received += piece
    return Outcome(status_of(received), time.monotonic() - start, bytes(received))


def status_of(answer: bytes | bytearray) -> int:
    words = bytes(answer[:32]).split(b" ")
    return int(words[1]) if words[0].startswith(b"HTTP/") and len(words) > 1 and words[1].isdigit() else NO_ANSWER


def _send_all(connection: socket.socket, data: bytes) -> None:
    """Send, although the server may answer and close before it has read everything."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(data)
