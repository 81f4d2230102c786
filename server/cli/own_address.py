"""This machine's address in its network, for whoever opens the page on another device."""

from __future__ import annotations

import socket

SOMEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Nobody's (RFC 5737, RFC 3849). Nothing is sent there, but the kernel says from which of ours it would come."""


def own_address(family: socket.AddressFamily) -> str | None:
    """None where there is no network of that family."""
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((SOMEWHERE[family], 9))
        except OSError:
            return None
        address: str = asking.getsockname()[0]
    return address
