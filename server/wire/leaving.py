"""Ends a process that cannot wait for its threads.

An interpreter that ends while a thread is deep in native code, a step of the engine or the loading of its weights, is
aborted by that code ("terminate called without an active exception"). So nothing is shut down here: logs and output are
flushed, and the kernel ends the rest. What is stored was written at once and needs no shutdown.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process now with this exit code."""
    try:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:  # also if flushing fails because nobody reads the output
        os._exit(code)
