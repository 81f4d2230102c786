"""Hostile below JSON: bytes that are no HTTP, bodies that are no JSON, headers, paths, clients that stall or leave."""

from __future__ import annotations

import gzip
import json

from benchmarks.hostile.attack import ADMIN, CHAT, JSON, Attack, dump, http

GOOD = dump({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2, "seed": 1})


def protocol() -> list[Attack]:
    """What HTTP parsers stumble over."""
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n".encode()
    size = f"{len(GOOD):x}".encode()
    chunked = head + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    raw = {
        "garbage": bytes(range(256)) * 4,
        "tls hello": bytes.fromhex("16030100b0010000ac0303") + bytes(160),
        "http2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "http 0.9": b"GET /v1/models\r\n\r\n",
        "http 9.9": b"GET /v1/models HTTP/9.9\r\n\r\n",
        "long method": b"A" * 100_000 + b" / HTTP/1.1\r\n\r\n",
        "negative length": head + b"content-length: -1\r\n\r\n",
        "huge length": head + b"content-length: 99999999999999999999999\r\n\r\n{}",
        "length is no number": head + b"content-length: 1e3\r\n\r\n{}",
        "two lengths": head + b"content-length: 2\r\ncontent-length: 200\r\n\r\n{}",
        "length and chunks": head
        + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "short body": head + b"content-length: 500\r\n\r\n{",
        "chunked": chunked + size + b"\r\n" + GOOD + b"\r\n0\r\n\r\n",
        "chunked by bytes": chunked + b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n",
        "bad chunk size": chunked + b"zz\r\n" + GOOD,
        "huge chunk size": chunked + b"ffffffffffffffffff\r\n" + GOOD,
        "endless chunks": chunked + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 48,
        "chunk trailers": chunked + size + b"\r\n" + GOOD + b"\r\n0\r\n" + b"x: y\r\n" * 5000 + b"\r\n",
        "header without colon": head + b"nonsense\r\n\r\n",
        "header with nul": head + b"x-objective-weights: a\x00b\r\n\r\n",
        "folded header": head + b"x-objective-weights: cheerful=1\r\n ,concise=1\r\ncontent-length: 0\r\n\r\n",
        "bare newlines": b"GET /v1/models HTTP/1.1\nhost: a\n\n",
        "header flood": head + b"".join(b"x-%d: y\r\n" % i for i in range(20_000)) + b"\r\n",
        "long header": head + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n",
        "long target": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        "absolute target": b"GET http://other.example/v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "expect": head + b"expect: 200-maybe\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
        "upgrade": b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "many hosts": b"GET /v1/models HTTP/1.1\r\n" + b"host: localhost\r\n" * 50 + b"connection: close\r\n\r\n",
        "pipelined": (b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n") * 50,
    }
    return [Attack(f"protocol: {name}", data, shut=True) for name, data in raw.items()]


def impatient() -> list[Attack]:
    """Clients that stall, leave, or close half of the connection."""
    long = dump({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 400, "ignore_eos": True})
    stream = dump(json.loads(long) | {"stream": True, "n": 8})
    return [
        http("client: leaves at once", CHAT, long, leave=0.0),
        http("client: leaves a stream", CHAT, stream, leave=0.2),
        http("client: half-closed", CHAT, GOOD, shut=True),
        Attack("client: half a head", b"POST /v1/chat/completions HTTP/1.1\r\nhost", leave=0.5),
        Attack("client: half a body", http("", CHAT, GOOD).data[:-20], leave=0.5),
        Attack("client: half a body, closed", http("", CHAT, GOOD).data[:-20], shut=True),
        Attack("client: connects only", b"", leave=0.5),
        Attack("client: byte by byte", http("", CHAT, GOOD).data, drip=0.002),
    ]


def bodies() -> list[Attack]:
    """Bodies that are not JSON, or only just."""
    deep = {depth: b"[" * depth + b"]" * depth for depth in (500, 1023, 1025, 100_000)}
    nested = {depth: b'{"metadata":' * depth + b"1" + b"}" * depth for depth in (900, 1025, 50_000)}
    prefix = GOOD[:-1]
    raw = [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"{",
        b"}",
        b"{}{}",
        GOOD + b"x",
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
    ]
    raw += [
        GOOD.decode().encode("utf-32"),
        gzip.compress(GOOD),
        b"\x00" * 1000,
        b"\xff\xfe\xfd",
        b"a=1&b=2",
        b"{'a': 1}",
    ]
    raw += [*deep.values(), *nested.values(), b'{"messages":' + deep[500] + b"}"]
    extras = [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"9" * 5000,
        b"0x10",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"nan",
    ]
    raw += [prefix + b',"temperature":' + value + b"}" for value in extras]
    raw += [prefix + b',"seed":' + value + b"}" for value in extras]
    raw += [
        prefix + b',"max_tokens":3,"max_tokens":-3}',
        prefix + b',"stop":"\xc3\x28"}',
        prefix + b',"stop":"\\ud800"}',
    ]
    raw += [prefix + b',"user":"\\udc00\\ud800"}', prefix + b',"user":"\\u0000"}', prefix + b',"stop":"\xed\xa0\x80"}']
    raw += [prefix + b',"user":"' + b"x" * 1_900_000 + b'"}', b" " * 2_000_000 + b"{}", b"x" * 3_000_000]
    raw += [b'{"' + b"k" * 1_000_000 + b'":1}', b"{" + b",".join(b'"k%d":1' % i for i in range(50_000)) + b"}"]
    found = [http("body: not quite JSON", CHAT, body) for body in raw]
    types = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
    ]
    types += ["", "application/jsonp", "a" * 9000, "application/json, text/html", "APPLICATION/JSON;;;", "*/*"]
    found += [http("body: content type", CHAT, GOOD, headers={"content-type": kind}) for kind in types]
    return [
        *found,
        http("body: no content type", CHAT, GOOD, headers={}),
        http("body: gzip", CHAT, gzip.compress(GOOD), headers={**JSON, "content-encoding": "gzip"}),
    ]


def headers() -> list[Attack]:
    """Weights, keys and request ids as headers."""
    weights = [
        "",
        ",",
        "=",
        "a=",
        "=1",
        "cheerful",
        "cheerful=",
        "cheerful=NaN",
        "cheerful=inf",
        "cheerful=1e999",
        "{",
        "{}x",
        "[]",
        "null",
    ]
    weights += [
        '{"cheerful":NaN}',
        '{"cheerful":1,"cheerful":2}',
        "cheerful=1,cheerful=2",
        '{"cheerful":{}}',
        '{"cheerful":true}',
        "{" * 4000,
    ]
    weights += [
        "cheerful=" + "9" * 8000,
        ",".join(f"o{i}=1" for i in range(3000)),
        "cheerful=0x1",
        "cheerful=1_0",
        "\xe9=1",
        "cheerful=\xb2",
        "%0d%0aset-cookie:a=b",
    ]
    found = [http("header: weights", CHAT, GOOD, headers={**JSON, "x-objective-weights": value}) for value in weights]
    injected = ["a\r\nx-injected: 1", "a\n\nb", "a\rb", "x" * 5000, "\xff\xfe", "<script>", "../../x", "a b", "%0d%0a"]
    for value in injected:
        found.append(http("header: request id", CHAT, GOOD, headers={**JSON, "x-request-id": value}))
        found.append(http("header: origin", CHAT, GOOD, headers={**JSON, "origin": value}))
    keys = [
        "Bearer",
        "Bearer ",
        "Bearer \xff",
        "Basic Og==",
        "Bearer " + "x" * 20_000,
        "bearer",
        "Bearer a b c",
        "\x7f",
    ]
    found += [http("header: key", "/v1/values", method="GET", headers={"authorization": key}) for key in keys]
    twice = (
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
        f"x-objective-weights: a=1\r\nx-objective-weights: b=1\r\ncontent-length: {len(GOOD)}\r\n\r\n"
    )
    return [*found, Attack("header: weights twice", twice.encode() + GOOD)]


def paths() -> list[Attack]:
    """Names in paths that try to leave where they belong, for readers, writers and the admin."""
    names = [
        "..",
        "../..",
        "../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%5c..",
        "%00",
        "a%00b",
        "%ff",
        "%c0%ae%c0%ae",
    ]
    names += [
        "/etc/passwd",
        "//etc/passwd",
        "",
        "%20",
        ".",
        "~",
        "a" * 5000,
        "%25252e",
        "a;b",
        "a?b=c",
        "a%0d%0ax:y",
        "%f0%9f%92%a9",
        "%ed%a0%80",
        "'; drop table presets; --".replace(" ", "%20"),
    ]
    admin = {**JSON, "authorization": f"Bearer {ADMIN}"}
    weights = dump({"objective_weights": {"cheerful": 1, "unknown": 1}})
    found = []
    for name in names:
        for root in (
            "/v1/presets/",
            "/v1/preferences/",
            "/v1/models/",
            "/v1/values/",
            "/playground/",
            "/",
            "/v1/responses/",
        ):
            found.append(http("path: read", root + name, method="GET", headers=admin))
        found.append(http("path: write", "/v1/presets/" + name, weights, "PUT", admin))
        found.append(http("path: write", "/v1/preferences/" + name, weights, "PUT", admin))
        found.append(http("path: delete", "/v1/presets/" + name, b"", "DELETE", admin))
        found.append(http("path: delete", "/v1/values/" + name, b"", "DELETE", admin))
        found.append(http("path: value", "/v1/values", dump({"source": name}), headers=admin))
        found.append(
            http(
                "path: model",
                CHAT,
                dump({"model": f"mavis-small:{name}", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}),
            )
        )
    sources = [
        "../lm",
        "./cheerful/../../lm",
        "/",
        "\x00",
        "shipped:",
        "shipped:../lm",
        "hub/id",
        "https://example.org/x",
        "file:///etc",
        "C:\\x",
        "a" * 100_000,
        "\ud800",
    ]
    found += [http("path: value", "/v1/values", dump({"source": source}), headers=admin) for source in sources]
    for method in ("PATCH", "TRACE", "CONNECT", "OPTIONS", "HEAD", "DELETE", "FOO", "GET"):
        found.append(http("path: method", CHAT, GOOD, method))
    return found
