"""What recurses deeper than a usual stack allows comes back, with what it gives or what it raises."""

from __future__ import annotations

import re
import sys
import threading

import pytest

from mavis_core.grammar.deep_stack import call_deep


def test_what_is_given_or_raised_comes_back() -> None:
    assert call_deep(lambda: threading.current_thread().name) == "mavis-deep"
    with pytest.raises(ValueError, match="'x'"):
        call_deep(lambda: int("x"))
    with pytest.raises(SystemExit):
        call_deep(sys.exit)


def test_the_stack_is_large_and_that_of_other_threads_as_before() -> None:
    """An expression whose syntax tree is compiled by recursion in C, beyond what 8 MB hold."""
    usual = threading.stack_size()
    depth = 20_000
    limit = sys.getrecursionlimit()

    def nested() -> int:
        sys.setrecursionlimit(10 * depth)
        try:
            return sink(depth)
        finally:
            sys.setrecursionlimit(limit)

    assert call_deep(nested) == depth
    assert threading.stack_size() == usual


def sink(depth: int) -> int:
    """Through C at each level, which takes stack."""
    return 0 if depth == 0 else 1 + int(re.sub("x", lambda _: str(sink(depth - 1)), "x"))
