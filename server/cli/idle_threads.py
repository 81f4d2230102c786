"""Threads of one computation that wait for one another sleep, so that another busy program costs what it takes.

By OpenMP's own default they spin, on the cores that the last of them waits for. Beside a program that kept both cores
busy, a step of SmolLM2-135M took 1.5 s that way, and 90 ms with threads that sleep.
"""

from __future__ import annotations

import os


def let_threads_sleep() -> None:
    """For this process and those that it starts, unless the environment says otherwise; before torch is imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
