"""Freed memory is used again, which shows in the pages that the kernel had to hand out."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
from mavis_core.model.host_memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def once():
    bytearray(48 << 20), bytearray(5 << 20)
once(), once()
before = faults()
for _ in range(5):
    once()
print(faults() - before)
"""


def faults(how: str) -> int:
    """Pages of 4 KiB that five rounds of 53 MiB, freed each time, were given."""
    told = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True)
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_what_was_freed_is_not_asked_of_the_kernel_again() -> None:
    assert faults("kept") < faults("plain") / 4
