"""Rows in flight that are steered otherwise from their next token on. Torch-free.

All that a row has of its request's guidance is made anew by admission, with the checks of any request, and taken over;
what it has drawn stays. Where that takes KV that the row lacks (of a companion, or of a value with a cache), nothing
special happens: the row is closed and read again, like a preempted one, and finds in the prefix cache what it had. The
same goes for a value with a cache that reads the row no longer, because what it has read is part of the blocks' keys.
"""

from __future__ import annotations

from collections.abc import Sequence

from mavis_core.api.messages import Request, SteeringChange
from mavis_core.schedule.admission import Admission
from mavis_core.schedule.row import Row
from mavis_core.schedule.scheduler import Scheduler
from mavis_core.schedule.track import Companion


def steer_rows(rows: Sequence[Row], request: Request, admission: Admission, scheduler: Scheduler) -> None:
    """Let the unfinished ``rows`` go on as choices of ``request``, which is theirs with another guidance.

    Raises:
        InvalidRequestError: nothing has changed.
    """
    going_on = [row for row in rows if row.finish_reason is None]
    made = admission.rows_anew(request, max((row.output_length for row in going_on), default=0))
    for row in going_on:
        new = made[row.index]
        read_again = row.keys[0] != new.keys[0] or row.request.in_words != request.in_words
        if read_again:
            scheduler.close(row)
            row.keys = new.keys
            row.companions = _companions(row, new)
        take_over(row, new)
        if read_again:
            scheduler.reopen(row)


def take_over(row: Row, new: Row) -> None:
    """Steer ``row`` as ``new``, a row that has drawn nothing."""
    row.request, row.limit, row.guided, row.beta = new.request, new.limit, new.guided, new.beta
    row.weights, row.named, row.in_words, row.aims = new.weights, new.named, new.in_words, new.aims
    row.change = SteeringChange(row.output_length, new.request.guidance, new.beta)


def _companions(row: Row, new: Row) -> tuple[Companion, ...]:
    """Those of ``new``, with the tokens that ``row`` has drawn; those that the row has already are kept."""
    before, after = row.request.in_words, new.request.in_words
    had = {before[companion.column]: companion for companion in row.companions}
    drawn = row.tokens[row.prompt_length + len(row.request.output_token_ids) :]
    found = []
    for fresh in new.companions:
        companion = had.pop(after[fresh.column], None)
        if companion is None:
            companion = fresh
            companion.tokens += drawn
        companion.column = fresh.column
        found.append(companion)
    row.read_beside += sum(companion.fed for companion in had.values())
    return tuple(found)
