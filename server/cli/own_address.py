"""This machine's address in its network, for whoever opens the page on another device."""

from __future__ import annotations

import socket

SOMEWHERE = ("192.0.2.1", 9)
"""Nobody's (RFC 5737): nothing is sent there, but the kernel says which of our addresses it would come from."""


def own_address() -> str | None:
    """None where there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(SOMEWHERE)
        except OSError:
            return None
        address: str = asking.getsockname()[0]
    return address
