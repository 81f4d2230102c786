"""The bars of everything that takes long: they move within a piece of work, and tell the time left of what is left."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.0f} {unit} [{elapsed}<{remaining}{postfix}]"


class Bar(tqdm):
    """Takes shares, whose sum may round to a little more than the whole."""

    def update(self, n: float | None = 1) -> Any:
        return super().update(min(n or 0, self.total - self.n))


def progress_bar(total: float, unit: str, what: str, shown: bool, done: float = 0) -> Any:
    """A bar that takes fractions of its unit; use it with ``with``.

    Args:
        unit: plural.
        done: what an earlier run did, which says nothing of the speed of this one.
    """
    often = {"mininterval": 0.2, "miniters": 0}
    return Bar(total=total, initial=done, unit=unit, desc=what, disable=not shown, bar_format=FORMAT, **often)
