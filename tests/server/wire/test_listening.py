"""An address that cannot be listened on ends the server with one line, before it starts to load a model."""

from __future__ import annotations

import errno
import socket

import pytest
from typer.testing import CliRunner

from mavis_core.api.errors import ConfigError
from server.cli.app import app
from server.wire.listening import listening


def test_a_port_that_is_taken_is_one_line_and_nothing_is_loaded() -> None:
    """Else it would be the model that is missing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = CliRunner().invoke(app, ["serve", "--port", str(port), "--model", "/absent", "--database", "sqlite://"])
    assert (ended.exit_code, ended.stdout) == (1, "")
    where = f"--host=127.0.0.1, --port={port}: cannot listen there: another program listens there"
    assert ended.stderr == f"{where}; choose another --port\n"


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
