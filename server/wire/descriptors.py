"""How many connections fit into the file descriptors that the process may open."""

from __future__ import annotations

import sys

RESERVED = 128  # for everything that is not a connection: files, databases, devices, the event loop
MOST = 4096  # more must be set explicitly


def connections_that_fit() -> int:
    """How many connections fit; a huge number where the system sets no limit."""
    if sys.platform == "win32":
        return 2**31
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else max(1, soft - RESERVED)


def default_connections() -> int:
    return min(MOST, connections_that_fit())
