"""The queue of waiting rows, and which of them is next. Torch-free.

Rows are kept by group, so that finding the next one costs as many looks as there are groups, not rows: a script may
queue thousands of rows of a single one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, KeysView

from mavis_core.schedule.row import Row


class WaitingRows:
    """Rows in order of arrival; preempted ones go back to the front."""

    def __init__(self) -> None:
        self._groups: dict[str, deque[tuple[int, Row]]] = {}
        self._front = self._back = self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        """Group by group."""
        return (row for rows in self._groups.values() for _, row in rows)

    def __contains__(self, row: Row) -> bool:
        return any(row is other for _, other in self._groups.get(row.group, ()))

    @property
    def groups(self) -> KeysView[str]:
        """The groups that have waiting rows."""
        return self._groups.keys()

    def append(self, row: Row) -> None:
        self._back += 1
        self._count += 1
        self._groups.setdefault(row.group, deque()).append((self._back, row))

    def appendleft(self, row: Row) -> None:
        self._front -= 1
        self._count += 1
        self._groups.setdefault(row.group, deque()).appendleft((self._front, row))

    def remove(self, row: Row) -> None:
        """Raises ValueError if the row does not wait."""
        rows = self._groups.get(row.group, deque())
        place = next((i for i, (_, other) in enumerate(rows) if other is row), None)
        if place is None:
            raise ValueError(f"row {row.request.id} does not wait")
        del rows[place]
        self._count -= 1
        if not rows:
            del self._groups[row.group]

    def next(self, taken: Counter[str]) -> Row:
        """The first row of the group that has the fewest places; of equal groups the one whose row is first.

        Args:
            taken: places that each group takes already.
        """
        group = min(self._groups, key=lambda name: (taken[name], self._groups[name][0][0]))
        return self._groups[group][0][1]
