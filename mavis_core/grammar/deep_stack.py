"""Call a function that recurses as deep as its input is nested, on a thread with a stack large enough for it.

llguidance follows chains of rules and references by recursion without a bound; on a usual stack of 8 MB some 1,500
of them end the process. Inputs are bounded in length, so a stack can be large enough for all of them; pages of it that
are not touched cost nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")
STACK_BYTES = 1 << 29
_starting = threading.Lock()


def call_deep(function: Callable[[], Result]) -> Result:
    """``function()`` on a thread of its own with 512 MB of stack (address space); what it raises is raised here."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # raised again in the caller
            future.set_exception(error)

    thread = threading.Thread(target=run, name="mavis-deep", daemon=True)
    with _starting:  # the stack size is a setting of the whole process
        usual = threading.stack_size(STACK_BYTES)
        try:
            thread.start()
        finally:
            threading.stack_size(usual)
    return future.result()
