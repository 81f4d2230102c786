"""Hostile about where a request ends: bodies that spell another request, and trailers that claim what heads may.

A server that takes the end of a request for somewhere else than the proxy before it takes a stranger's bytes for a
request of whoever comes next on that connection. So each of these may have one answer, whatever it is.
"""

from __future__ import annotations

from benchmarks.hostile.attack import ADMIN, Attack, dump

INNER = b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n"
BODY = dump({"prompt": "Hello"})
HEAD = b"POST /tokenize HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
LENGTH = b"content-length: %d\r\n" % len(INNER)
CHUNKED = b"transfer-encoding: chunked\r\n"
ENOUGH = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"  # what would end an idle connection


def smuggled() -> list[Attack]:
    """Two ways to read where the body ends; under one of them ``INNER`` is a request of its own."""
    none = b"0\r\n\r\n" + INNER
    heads = {
        "length and chunks": LENGTH + CHUNKED,
        "chunks and length": CHUNKED + LENGTH,
        "chunks, then identity": CHUNKED + b"transfer-encoding: identity\r\n" + LENGTH,
        "identity and length": b"transfer-encoding: identity\r\n" + b"content-length: 0\r\n",
        "space before the colon": b"transfer-encoding : chunked\r\n" + LENGTH,
        "vertical tab": b"transfer-encoding:\x0bchunked\r\n" + LENGTH,
        "another word": b"transfer-encoding: xchunked\r\n" + LENGTH,
        "chunked not last": b"transfer-encoding: chunked, identity\r\n" + LENGTH,
        "folded": b"transfer-encoding:\r\n chunked\r\n" + LENGTH,
        "two lengths": b"content-length: 0\r\n" + LENGTH,
        "list of lengths": b"content-length: 0, %d\r\n" % len(INNER),
        "signed length": b"content-length: +0\r\n",
        "negative length": b"content-length: -1\r\n",
        "hexadecimal length": b"content-length: 0x0\r\n",
        "length with a space": b"content-length: 0 %d\r\n" % len(INNER),
        "length beyond 64 bits": b"content-length: 18446744073709551616\r\n",
        "length after a bare newline": b"x: y\n" + LENGTH,
        "length after a bare return": b"x: y\r" + LENGTH,
    }
    chunks = {
        "chunk size with a sign": b"+0\r\n\r\n" + INNER,
        "chunk size in hexadecimal": b"0x0\r\n\r\n" + INNER,
        "chunk size beyond 64 bits": b"10000000000000000\r\n\r\n" + INNER,
        "chunk lines ended by newlines": b"0\n\n" + INNER,
        "chunk longer than said": b"1\r\n{}" + none,
        "chunk extension with a newline": b"0;a\n\r\n" + INNER,
    }
    found = [Attack(f"framing: {name}", HEAD + head + b"\r\n" + none, shut=True) for name, head in heads.items()]
    found = [Attack(a.name, a.data, shut=True, refused=True, answers=1) for a in found]
    found += [
        Attack(f"framing: {name}", HEAD + CHUNKED + b"\r\n" + body, shut=True, refused=True, answers=1)
        for name, body in chunks.items()
    ]
    for upgrade in (b"h2c", b"websocket", b"anything"):
        head = HEAD + b"connection: upgrade\r\nupgrade: " + upgrade + b"\r\n" + LENGTH + b"\r\n"
        name = f"framing: upgrade to {upgrade.decode()}"
        found.append(Attack(name, head, later=INNER, shut=True, answers=1))
        found.append(Attack(name, head + INNER, shut=True, answers=1))
    return found


def served_nevertheless() -> list[Attack]:
    """A body in an unusual but valid frame, which belongs to its request and to no other."""
    body = b"%x\r\n%s\r\n" % (len(BODY), BODY)
    frames = {
        "chunk extensions": b"%x;a=b;c\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
        "chunk extension of a megabyte": b"%x;%s\r\n%s\r\n0\r\n\r\n" % (len(BODY), b"a" * 2**20, BODY),
        "chunk size of a megabyte": b"0" * 2**20 + body + b"0\r\n\r\n",
        "trailers": body + b"0\r\nx: y\r\n\r\n",
    }
    found = [Attack(f"framing: {name}", HEAD + CHUNKED + b"\r\n" + data, shut=True) for name, data in frames.items()]
    waits = HEAD + b"content-length: %d\r\nexpect: 100-continue\r\n\r\n" % len(BODY)
    return [
        *found,
        Attack("framing: waits for 100", waits, later=BODY, shut=True),
        Attack("framing: waits for 100 without a body", waits, later=b"", shut=True),
        Attack("framing: empty lines first", b"\r\n" * 200_000 + ENOUGH),
        Attack("framing: thousands in a row", b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n" * 2000 + ENOUGH),
    ]


def trailers() -> list[Attack]:
    """The admin key after the body: too late to open anything. Also other headers that something reads."""
    late = b"0\r\nauthorization: Bearer " + ADMIN.encode() + b"\r\n\r\n"
    some = dump({"source": "cheerful"})
    put = dump({"objective_weights": {"cheerful": 1}})
    requests = {
        "GET /v1/values": b"",
        "POST /v1/values": some,
        "DELETE /v1/values/factual": b"",
        "PUT /v1/presets/trailed": put,
        "DELETE /v1/presets/trailed": b"",
    }
    found = []
    for request, body in requests.items():
        head = (
            f"{request} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n".encode()
        )
        data = head + CHUNKED + b"\r\n" + (b"%x\r\n%s\r\n" % (len(body), body) if body else b"")
        found.append(Attack("framing: key in a trailer", data + late, refused=True))
        found.append(Attack("framing: key in a late trailer", data, later=late, refused=True))
    kinds = (b"content-type: text/plain", b"content-length: 1", b"transfer-encoding: chunked", b"host: b", b": ")
    frame = HEAD + CHUNKED + b"connection: close\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
    return found + [Attack("framing: odd trailer", frame + line + b"\r\n\r\n") for line in kinds]
