"""Memory that a step has freed is kept for the next one, where the C library can be told so (glibc).

By itself glibc gives allocations above 32 MiB back to the kernel as soon as they are freed, and the end of its heap
when enough of it is free; the kernel hands out every page anew, cleared. Logits of a whole vocabulary are that large.
With 400 rows and 49,152 tokens half of the processor time went there.
"""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt(3)
NEVER = 2**31 - 1  # bytes; the most that it takes


def keep_freed_memory() -> bool:
    """Tell the allocator of this process, for good; whether there is one that listens."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(MMAP_THRESHOLD, NEVER)) and bool(mallopt(TRIM_THRESHOLD, NEVER))
