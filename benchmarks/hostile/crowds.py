"""Many connections at once that hold on to something: sockets, heads, bodies, streams, places in the queue, memory.

None of them is wrong alone. While they stand, a health check and a small request of somebody else must be answered;
the server may close them, or refuse them, as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.hostile.attack import dump, http
from benchmarks.hostile.framing import CHUNKED, HEAD
from benchmarks.hostile.intersections import intersections

CHAT = "/v1/chat/completions"
MANY = 300
HOLD_SECONDS = 4.0
MIB = 2**20
TEXT_MIB = 768.0  # to read one text of two megabytes takes up to 600 while it lasts; one such is read at a time


@dataclass(frozen=True)
class Crowd:
    """
    Attributes:
        data: what each sends; one after another if there are several.
        drip: then these bytes one by one, so slowly that each is a segment of its own, again and again.
        flood: then this piece, ``mebibytes`` of it, unless the server closes before.
        hold: seconds that they stay.
        leaves: gone as soon as they have sent; they never read.
        fills: they may take every place there is, so others are served only once the engine has done their work.
        closed: the server must hold none of them when that time is over, which exceeds the limits it was given.
        growth_mib: how much resident memory may be higher while they stand.
    """

    name: str
    size: int
    data: tuple[bytes, ...]
    drip: bytes = b""
    flood: bytes = b""
    mebibytes: int = 0
    hold: float = HOLD_SECONDS
    leaves: bool = False
    fills: bool = False
    closed: bool = False
    growth_mib: float = 64.0


def crowds(size: int = MANY) -> list[Crowd]:
    """
    Args:
        size: of the largest; a crowd whose members cost more has fewer, never more than this.
    """
    found = [*_idle(size), *_floods(min(size, 4)), *_abandoned(min(size, 24))]
    return [*found, *_unread(min(size, 20)), *_hidden(min(size, 16))]


def _idle(size: int) -> list[Crowd]:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    body = b"content-length: 500\r\n\r\n"
    whole = b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n"
    found = [
        Crowd("silent", size, (b"",)),
        Crowd("half a head", size, (head[:60],)),
        Crowd("a head byte by byte", size, (head + b"x: ",), drip=b"y"),
        Crowd("headers one by one", size, (head,), drip=b"a:b\r\n"),
        Crowd("no body", size, (head + body,)),
        Crowd("a body byte by byte", size, (head + body + b'{"',), drip=b"x"),
        Crowd("chunks byte by byte", size, (head + CHUNKED + b"\r\n",), drip=b"1\r\n \r\n"),
        Crowd("waiting to be told to go on", size, (head + b"expect: 100-continue\r\n" + body,)),
        Crowd("idle between requests", size, (whole,)),
        Crowd("empty lines between requests", size, (whole,), drip=b"\r\n"),
        Crowd("a body after a refusal", size, (head.replace(b"/v1/chat", b"/none") + body,), drip=b"x"),
    ]
    return [replace(crowd, closed=True) for crowd in found]


def _floods(size: int) -> list[Crowd]:
    """What has no end and comes after, or instead of, a body."""
    line, end = b"x: " + b"y" * 90 + b"\r\n", b"e\r\n" + b'{"prompt":"a"}' + b"\r\n0\r\n"
    start = HEAD + CHUNKED + b"\r\n"
    refused = start.replace(b"/tokenize", b"/v1/values").replace(b"\r\n", b"\r\nauthorization: Bearer none\r\n", 1)
    floods = {
        "trailers": (start + end, line),
        "one trailer": (start + end + b"x: ", b"y" * 1000),
        "short trailers": (start + end, b"x:\r\n"),
        "trailers after a refusal": (refused + end, line),
        "trailers after no such path": (start.replace(b"/tokenize", b"/none") + end, line),
        "a chunk extension": (start + b"e;", b"a=b;"),
        "many chunk extensions": (start, b"1;" + b"a" * 200 + b"\r\n \r\n"),
        "a chunk size": (start, b"0" * 1000),
        "one-byte chunks": (start, b"1\r\n \r\n"),
        "a body after a refusal": (refused, b"1000\r\n" + b" " * 4096 + b"\r\n"),
        "empty lines": (b"", b"\r\n" * 500),
        "requests in a row": (b"", b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    }
    return [
        Crowd(f"flood: {name}", size, (data,), flood=piece, mebibytes=16, hold=1.0)
        for name, (data, piece) in floods.items()
    ]


def _abandoned(size: int) -> list[Crowd]:
    """Work that takes long and that nobody waits for."""
    words = "the quick brown fox is 27 and jumps, doesn't it? " * 38_000
    letters, spaces = "a" * 1_900_000, " " * 1_900_000
    texts = (words, letters, spaces, "é" * 900_000, "a1!" * 600_000)
    message = [dump({"messages": [{"role": "user", "content": text}], "max_tokens": 4}) for text in texts]
    bodies = {
        "tokenize": tuple(http("", "/tokenize", dump({"prompt": text})).data for text in texts),
        "prompts": tuple(http("", "/v1/completions", dump({"prompt": text})).data for text in texts),
        "chat prompts": tuple(http("", CHAT, body).data for body in message),
        "detokenize": (http("", "/detokenize", dump({"tokens": [70] * 900_000})).data,),
        "responses": tuple(http("", "/v1/responses", dump({"input": text})).data for text in texts),
    }
    found = [Crowd(f"abandoned {name}", size, data, leaves=True, growth_mib=TEXT_MIB) for name, data in bodies.items()]
    structures = tuple(attack.data for attack in intersections((16, 22)) if attack.leave is not None)
    return [*found, Crowd("abandoned structures", size, structures, leaves=True, hold=8.0, growth_mib=256.0)]


def _unread(size: int) -> list[Crowd]:
    """Long answers that nobody reads: twenty of eight choices fill a queue of its usual length."""
    asked = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 40, "ignore_eos": True}
    long = asked | {"n": 8, "logprobs": True, "top_logprobs": 20}
    stream, whole = http("", CHAT, dump(long | {"stream": True})).data, http("", CHAT, dump(long)).data
    responses = {"input": "Hello", "max_output_tokens": 400, "stream": True, "guidance": {"report": True}}
    page = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"  # as many as leave any rest in any buffer
    found = [
        Crowd("streams that nobody reads", size, (stream,), fills=True, growth_mib=512.0),
        Crowd("answers that nobody reads", size, (whole,), fills=True, growth_mib=512.0),
        Crowd(
            "responses that nobody reads",
            size,
            (http("", "/v1/responses", dump(responses)).data,),
            fills=True,
            growth_mib=512.0,
        ),
        Crowd("pages that nobody reads", 4 * size, tuple(page * count for count in range(1, 31)), hold=8.0),
    ]
    return [replace(crowd, closed=True) for crowd in found]


def _hidden(size: int) -> list[Crowd]:
    """They leave behind a second request that waits on the same connection."""
    asked = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 400, "ignore_eos": True, "n": 8}
    more = b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n"
    found = []
    for stream in (False, True):
        data = http("", CHAT, dump(asked | {"stream": stream})).data.replace(b"connection: close\r\n", b"", 1) + more
        name = "left with a request queued" + (", streaming" if stream else "")
        found.append(Crowd(name, size, (data,), leaves=True, fills=True))
    return found
