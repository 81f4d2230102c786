"""What another process holds, as Linux tells it."""

from __future__ import annotations

import re
from pathlib import Path


def resident_mib(pid: int) -> float:
    """What it has in memory now, its children not counted; raises ProcessLookupError once it has ended."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise ProcessLookupError(f"process {pid} has ended")
    return int(found[1]) / 1024


def open_files(pid: int) -> int:
    """File descriptors, sockets among them."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
