"""How many connections there may be, in all and from one client address, and whether one more is let in.

A connection counts from the moment it is accepted: before its TLS handshake, which uvicorn begins unseen. So the
handshake is made here, in bounded time. Refused is whoever comes last: a connection that has no place holds no file
descriptor, and those who have one keep it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from server.header_limit import refusal

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


class Door(asyncio.Protocol):
    """What stands between one socket and its HTTP protocol.

    Args:
        make_http: the protocol that gets everything once the connection is let in.
        tls: None: plain HTTP.
        tls_timeout: seconds for the handshake.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        make_http: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        tls_timeout: float,
    ) -> None:
        self._limits = limits
        self._make_http = make_http
        self._tls = tls
        self._tls_timeout = tls_timeout
        self._address: str | None = None  # set while it counts
        self._http: asyncio.Protocol | None = None
        self._early = b""
        self._lost = False
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
        refused = self._limits.take(address)
        if refused is not None:
            if self._tls is None:
                status, message, code = refused
                transport.write(refusal(status, message, code))
                transport.close()
            else:
                transport.abort()
            return
        self._address = address
        if self._tls is None:
            self._open(transport)
        else:
            self._handshake = asyncio.create_task(self._start_tls(transport, self._tls))

    async def _start_tls(self, raw: asyncio.Transport, tls: ssl.SSLContext) -> None:
        try:
            async with asyncio.timeout(self._tls_timeout):
                transport = await asyncio.get_running_loop().start_tls(
                    raw, self, tls, server_side=True, ssl_shutdown_timeout=TLS_GOODBYE
                )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            log.debug("TLS handshake with %s failed: %r", self._address, error)
            raw.abort()
            self._leave()
            return
        assert transport is not None
        if not self._lost:
            self._open(transport)

    def _open(self, transport: asyncio.Transport) -> None:
        self._http = self._make_http()
        self._http.connection_made(transport)
        if self._early:
            self._http.data_received(self._early)
            self._early = b""

    def _leave(self) -> None:
        if self._address is not None:
            self._limits.give_back(self._address)
            self._address = None

    def data_received(self, data: bytes) -> None:
        if self._http is not None:
            self._http.data_received(data)
        else:  # came with the end of the handshake
            self._early += data

    def eof_received(self) -> bool | None:
        return None if self._http is None else self._http.eof_received()

    def pause_writing(self) -> None:
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        if self._http is not None:
            self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._leave()
        if self._http is not None:
            self._http.connection_lost(exc)


class Doors:
    """What uvicorn makes its protocols with: ``uvicorn.Config(http=Doors(...))``."""

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

    def __call__(self, **uvicorn: Any) -> Door:
        return Door(self._limits, lambda: self._make_http(**uvicorn), self._tls, self._tls_timeout)
