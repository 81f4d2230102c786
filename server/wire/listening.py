"""The port that is served: taken before anything else starts, and where that fails, why, in one line."""

from __future__ import annotations

import errno
import socket

from mavis_core.api.errors import ConfigError

WHY = {
    errno.EADDRINUSE: "another program listens there; choose another --port",
    errno.EACCES: "this user may not; ports from 1024 on are open to everybody",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 stands for all that it has",
}


def listening(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of ``host``.

    Raises:
        ConfigError: one of them cannot be listened on; none is then.
    """
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            made.append(socket.create_server(address, family=family))  # type: ignore[arg-type]  # either family's
    except OSError as error:
        for each in made:
            each.close()
        why = f"{host!r} is no name of an address" if isinstance(error, socket.gaierror) else WHY.get(error.errno or 0)
        raise ConfigError(f"--host={host}, --port={port}: cannot listen there: {why or error.strerror}") from None
    return made
