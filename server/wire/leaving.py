"""The end of a process that cannot wait for its threads.

An interpreter that ends while a thread is deep in native code, a step of the engine or the loading of its weights,
is aborted by that code ("terminate called without an active exception"). So nothing is ended here: what is logged and
printed gets out, and the kernel takes the rest. What is stored is written through at once and needs no end.
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
    finally:  # also where nobody reads what is flushed
        os._exit(code)
