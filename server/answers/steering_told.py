"""What steering has done to one answer so far: of a response or a message, which tell it all at their end.

Only a change of the steering is told at once, with the first event that shows something of the text behind it.
"""

from __future__ import annotations

from typing import Any

from mavis_core.api.messages import ChoiceDelta, GuidanceStats, SteeringChange
from server.answers.context import AnswerContext
from server.answers.guidance_report import change_report, guidance_report, token_reports


class SteeringTold:
    def __init__(self, context: AnswerContext) -> None:
        self._context, self._reading = context, context.reading(0)
        self._stats: GuidanceStats | None = None
        self._changes: list[SteeringChange] = []
        self._untold: SteeringChange | None = None
        self._reports: list[dict[str, Any]] = []

    def take(self, delta: ChoiceDelta) -> None:
        self._stats = delta.guidance
        if delta.change is not None:
            self._changes.append(delta.change)
            self._untold = delta.change
        self._reports += token_reports(self._reading, delta.reports)

    def tell_change(self, events: list[dict[str, Any]]) -> None:
        """Put a change that no event has told yet into the first of these, if there are any."""
        if events and self._untold is not None:
            events[0] = events[0] | {"guidance": {"change": change_report(self._untold)}}
            self._untold = None

    def report(self) -> dict[str, Any]:
        """``ChoiceGuidance`` of the answer as it stands."""
        return guidance_report(self._context, self._stats, self._reports, self._changes)
