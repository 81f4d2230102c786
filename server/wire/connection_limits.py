"""How many connections there may be, in all and from one client address, and whether one more is let in.

A connection counts from the moment it is accepted: before its TLS handshake, which uvicorn begins unseen. So the
handshake is made here, in bounded time. Refused is whoever comes last: a connection that has no place holds no file
descriptor, and those who have one keep it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from server.wire.header_limit import refusal

log = logging.getLogger(__name__)
LOG_SECONDS = 10.0
TLS_GOODBYE = 5.0  # seconds for the client's half of closing TLS


class ConnectionLimits:
    """
    Args:
        total: most connections.
        per_address: most from one address; None: half of ``total``, and as many as there are from this machine, where
            a reverse proxy speaks for everybody.
    """

    def __init__(self, total: int, per_address: int | None) -> None:
        self._total = total
        self._per_address = max(1, total // 2) if per_address is None else per_address
        self._loopback_is_free = per_address is None
        self._open: Counter[str] = Counter()
        self._count = 0
        self._refused = 0
        self._silent_until = 0.0

    def take(self, address: str) -> tuple[int, str, str] | None:
        """Count one more from ``address``; or say why not: status, message, code."""
        key, loopback = client_of(address)
        if self._count >= self._total:
            why = f"max_connections={self._total} are open"
            self._tell(why, address)
            return 503, f"{why}; try again later", "too_many_connections"
        if self._open[key] >= self._per_address and not (loopback and self._loopback_is_free):
            why = f"max_connections_per_address={self._per_address} are open"
            self._tell(why, address)
            return 429, f"{why} from your address: close some, or reuse them", "too_many_connections"
        self._count += 1
        self._open[key] += 1
        return None

    def give_back(self, address: str) -> None:
        key, _ = client_of(address)
        self._count -= 1
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]

    def _tell(self, why: str, address: str) -> None:
        """One line now and then: the log is not for those who are refused to fill."""
        self._refused += 1
        if time.monotonic() >= self._silent_until:
            log.warning("%d connections refused, the last from %s: %s", self._refused, address, why)
            self._refused, self._silent_until = 0, time.monotonic() + LOG_SECONDS


def client_of(address: str) -> tuple[str, bool]:
    """Whose connection that is, and whether it comes from this machine. A client has a /64 of IPv6 addresses."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # not a network address: a socket of this machine
        return address, True
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif not ip.is_loopback:
            return str(ipaddress.ip_network((ip, 64), strict=False)), False
    return str(ip), ip.is_loopback


class CountedConnection(asyncio.Protocol):
    """``http``, whose connection holds a place until it is lost."""

    def __init__(self, http: asyncio.Protocol, give_back: Callable[[], None]) -> None:
        self._http = http
        self._give_back = give_back
        self.connection_made = http.connection_made  # type: ignore[method-assign]
        self.data_received = http.data_received  # type: ignore[method-assign]
        self.eof_received = http.eof_received  # type: ignore[method-assign]
        self.pause_writing = http.pause_writing  # type: ignore[method-assign]
        self.resume_writing = http.resume_writing  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_back()
        self._http.connection_lost(exc)


class ConnectionGate(asyncio.Protocol):
    """What meets a new connection: refuses it, or counts it and makes way for HTTP, after TLS where there is one.

    Args:
        tls: None: plain HTTP.
        tls_timeout: seconds for the handshake.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        http: asyncio.Protocol,
        tls: ssl.SSLContext | None,
        tls_timeout: float,
    ) -> None:
        self._limits = limits
        self._http = http
        self._tls = tls
        self._tls_timeout = tls_timeout
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
        refused = self._limits.take(address)
        if refused is not None:
            if self._tls is None:
                transport.write(refusal(*refused))
            transport.close()
            return
        protocol = CountedConnection(self._http, partial(self._limits.give_back, address))
        if self._tls is None:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            return
        # ``start_tls`` would lose what uvloop reads before it begins, so the handshake gets the socket afresh.
        taken_over = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        transport.abort()
        self._handshake = asyncio.create_task(self._shake_hands(taken_over, protocol, address))

    async def _shake_hands(self, connection: socket.socket, protocol: asyncio.Protocol, address: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._tls_timeout,
                ssl_shutdown_timeout=TLS_GOODBYE,
            )
        except OSError as error:  # also what is not TLS, and what takes too long
            log.debug("no TLS with %s: %r", address, error)
            connection.close()
            self._limits.give_back(address)


class ConnectionGates:
    """What uvicorn makes its protocols with: ``uvicorn.Config(http=ConnectionGates(...))``."""

    def __init__(
        self,
        limits: ConnectionLimits,
        make_http: Callable[..., asyncio.Protocol],
        tls: ssl.SSLContext | None,
        tls_timeout: float,
    ) -> None:
        self._limits = limits
        self._make_http = make_http
        self._tls = tls
        self._tls_timeout = tls_timeout

    def __call__(self, **uvicorn: Any) -> ConnectionGate:
        return ConnectionGate(self._limits, self._make_http(**uvicorn), self._tls, self._tls_timeout)
