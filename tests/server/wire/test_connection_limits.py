"""Connections in all and of one address, counted from the moment they are accepted."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from mavis_core.api.errors import ConfigError
from server.settings import load_settings
from server.wire import connection_limits
from server.wire.connection_limits import ConnectionLimits, client_of
from server.wire.descriptors import connections_that_fit, default_connections
from tests.server.edge import connect, parsed, rest, served

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_in_all_and_of_each_address() -> None:
    limits = ConnectionLimits(total=7, per_address=3)
    for _ in range(3):
        assert limits.take("192.0.2.1") is None
    refused = limits.take("192.0.2.1")
    assert refused is not None and refused[0] == 429 and "max_connections_per_address=3" in refused[1]
    for _ in range(3):
        assert limits.take("192.0.2.2") is None
    assert limits.take("127.0.0.1") is None
    refused = limits.take("192.0.2.3")
    assert refused is not None and refused[0] == 503 and "max_connections=7" in refused[1]
    limits.give_back("192.0.2.1")
    assert limits.take("192.0.2.1") is None


def test_by_default_no_stranger_gets_more_than_half() -> None:
    limits = ConnectionLimits(total=10, per_address=None)
    assert [limits.take("192.0.2.1") is None for _ in range(6)] == [True] * 5 + [False]
    assert [limits.take("127.0.0.1") is None for _ in range(6)] == [True] * 5 + [False]
    machine = ConnectionLimits(total=10, per_address=None)
    assert [machine.take("127.0.0.1") is None for _ in range(11)] == [True] * 10 + [False]
    told = ConnectionLimits(total=10, per_address=4)
    assert [told.take("127.0.0.1") is None for _ in range(5)] == [True] * 4 + [False]


def test_whose_address_that_is() -> None:
    assert client_of("192.0.2.1") == client_of("::ffff:192.0.2.1") == ("192.0.2.1", False)
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1") != client_of("2001:db8:0:1::1")
    assert client_of("fe80::1%eth0") == client_of("fe80::2")
    assert client_of("127.9.9.9")[1] and client_of("::1")[1] and client_of("::ffff:127.0.0.1")[1]
    assert not client_of("2001:db8::1")[1]


def test_refusals_do_not_fill_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("server.wire.connection_limits.time.monotonic", lambda: now[0])
    limits = ConnectionLimits(total=1, per_address=None)
    limits.take("192.0.2.1")
    with caplog.at_level(logging.WARNING, "server"):
        for _ in range(500):
            limits.take("192.0.2.9")
        now[0] += connection_limits.LOG_SECONDS
        limits.take("192.0.2.9")
    assert len(caplog.records) == 2
    assert "1 connections refused, the last from 192.0.2.9: max_connections=1" in caplog.messages[0]
    assert "500 connections refused" in caplog.messages[1]


def test_settings_fit_the_descriptors() -> None:
    assert 1 <= default_connections() <= connections_that_fit()
    if connections_that_fit() < 2**31:
        with pytest.raises(ConfigError, match=r"--max-connections=.* fit the limit of file descriptors"):
            load_settings(max_connections=connections_that_fit() + 1)


def test_refused_on_a_socket() -> None:
    """Whoever has a place keeps it; who comes too late hears why; a place that is left can be taken."""
    with served(max_connections=2) as port:
        with connect(port) as first, connect(port) as second:
            for held in (first, second):
                held.sendall(HEALTH)
                assert held.recv(20).startswith(b"HTTP/1.1 200")
            with connect(port) as third:
                status, answer = parsed(rest(third))
            assert (status, answer["error"]["code"]) == (503, "too_many_connections")
            assert answer["error"]["type"] == "server_error"
            first.sendall(HEALTH)
        assert health_in_the_end(f"http://127.0.0.1:{port}/health")


def health_in_the_end(url: str, **more: ssl.SSLContext) -> bool:
    """Whether the server answers within ten seconds: it learns of closed connections a moment later."""
    for _ in range(100):
        try:
            if httpx.get(url, **more).status_code == 200:  # type: ignore[arg-type]
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    return False


def test_local_streams_are_not_bound() -> None:
    """256 at once, as before; a proxy on this machine may need as many."""
    with served() as port:
        connections = [connect(port) for _ in range(256)]
        try:
            for connection in connections:
                connection.sendall(HEALTH)
            assert all(connection.recv(20).startswith(b"HTTP/1.1 200") for connection in connections)
        finally:
            for connection in connections:
                connection.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
def test_handshakes_count_and_end(tmp_path: Path) -> None:
    """Connections without a handshake hold places, for ``head_timeout`` seconds and no longer."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*made, "-keyout", key, "-out", cert, *name], check=True, capture_output=True)
    trusting = ssl.create_default_context(cafile=str(cert))
    with served(max_connections=2, head_timeout=2, ssl_certfile=cert, ssl_keyfile=key) as port:
        silent = [connect(port) for _ in range(2)]
        with connect(port) as third:
            assert rest(third) == b""
        assert [rest(connection) for connection in silent] == [b"", b""]
        assert health_in_the_end(f"https://127.0.0.1:{port}/health", verify=trusting)
        for connection in silent:
            connection.close()
