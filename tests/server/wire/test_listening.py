"""An address that cannot be listened on ends the server with one line, before it starts to load a model."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys

import pytest

from mavis_core.api.errors import ConfigError
from server.serving import server_for
from server.settings import load_settings
from server.wire.listening import listening
from tests.server.fake_engine import FakeEngine, FakeTokenizer


def test_nothing_is_loaded_behind_a_port_that_is_taken() -> None:
    loading: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_settings(port=port, database="sqlite://")
        server = server_for(settings, FakeEngine(), FakeTokenizer, lambda: loading.append("model"))
        with pytest.raises(ConfigError, match=f"--port={port}: cannot listen there: another program listens there"):
            server.run()
    assert loading == []


def test_the_command_says_it_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "server", "serve", "--port", str(taken.getsockname()[1])]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert line.endswith("cannot listen there: another program listens there; choose another --port")


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(ConfigError, match=r"--host=192.0.2.77, --port=0: cannot .* has no such address"):
        listening("192.0.2.77", 0)


def test_a_name_that_stands_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConfigError, match=r"cannot listen there: 'no.such.host' is no name of an address"):
        listening("no.such.host", 0)


@pytest.mark.parametrize(("number", "says"), [(errno.EACCES, "this user may not"), (errno.ENOBUFS, "No buffer space")])
def test_what_the_system_refuses(number: int, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address is given back where the second is refused."""
    first = socket.create_server(("127.0.0.1", 0))

    def refusing(address: tuple[str, int], **_: object) -> socket.socket:
        if address[0] == "127.0.0.1":
            return first
        raise OSError(number, "No buffer space available")

    both = [(family, 1, 6, "", (name, 80)) for family, name in ((2, "127.0.0.1"), (10, "::1"))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    monkeypatch.setattr(socket, "create_server", refusing)
    with pytest.raises(ConfigError, match=f"cannot listen there: {says}"):
        listening("localhost", 80)
    assert first.fileno() == -1


def test_every_address_of_a_name() -> None:
    [one] = listening("127.0.0.1", 0)
    with one, socket.create_connection(one.getsockname()):
        pass
