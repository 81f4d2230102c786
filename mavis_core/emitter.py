"""Drawn tokens to messages: appends them to rows, decides who is finished and why, makes text.

Host work only, after the step's sync, each row inside ``alone``. Stop reasons, in order: the model's own stop token,
a requested stop token, a stop string, a structure that nothing can follow, the length limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import add

from mavis_core.messages import ChoiceDelta, GuidanceStats, ObjectiveInfo, TokenLogprobs, TokenReport
from mavis_core.row import Row, RowFault
from mavis_core.row_fault import NOT_FINITE, alone
from mavis_core.sampler import FIXED_COLUMNS


class Emitter:
    """Args: objectives: of the engine, in column order."""

    def __init__(self, objectives: Sequence[ObjectiveInfo]) -> None:
        self._names = [objective.name for objective in objectives]
        self._known: dict[tuple[int, ...], tuple[list[str], list[int]]] = {}

    def emit(
        self,
        rows: Sequence[Row],
        tokens: Sequence[int],
        finite: Sequence[bool],
        stats: Sequence[Sequence[float]],
        logprobs: Sequence[TokenLogprobs | None],
    ) -> dict[str, list[ChoiceDelta]]:
        """Advance every row by its token; deltas by request id. A row that has or gets a fault says nothing.

        Args:
            rows: B of them, guided ones first.
            tokens: that they drew.
            finite: whether they were drawn from numbers.
            stats: of the guided rows, see ``Drawn.to_host``.
            logprobs: see ``collect_logprobs``.
        """
        deltas: dict[str, list[ChoiceDelta]] = {}
        for i, row in enumerate(rows):
            mine = deltas.setdefault(row.request.id, [])
            if not finite[i]:
                row.fault = RowFault(NOT_FINITE, spoiled=True)
            if row.fault is None:
                with alone(row, "on the way from its token to its text"):
                    delta = self._advance(row, tokens[i], stats[i] if row.guided else None, logprobs[i])
                    mine.append(delta)
        return deltas

    def _advance(
        self, row: Row, token: int, stats: Sequence[float] | None, logprobs: TokenLogprobs | None
    ) -> ChoiceDelta:
        if row.limit == row.prompt_length:  # max_tokens=0 asked to read the prompt; what was drawn is nobody's
            row.finish_reason = "length"
            return ChoiceDelta(row.index, "", (), finish_reason="length")
        row.tokens.append(token)
        text, stop_reason = self._finish(row, token)
        guidance = None
        reports: tuple[TokenReport, ...] = ()
        if stats is not None:
            self._add(row, stats)
            guidance = self._summary(row)
            if row.request.guidance.report:
                reports = (self._report(row, token, stats),)
        return ChoiceDelta(
            row.index,
            text,
            (token,),
            (logprobs,) if logprobs is not None else (),
            reports,
            row.finish_reason,
            stop_reason,
            guidance,
        )

    def _finish(self, row: Row, token: int) -> tuple[str, str | int | None]:
        """Text that became final, and what stopped the row beyond its own EOS; sets ``finish_reason``."""
        sampling, matcher = row.request.sampling, row.matcher
        if token in row.stop_ids:
            row.finish_reason = "stop"
            own = token in row.stop_ids[: row.own_stops]
            return row.detokenizer.flush(), None if own else token
        if matcher is not None and matcher.ended:
            row.finish_reason = "stop"
            return row.detokenizer.flush(), None
        text, stop = row.detokenizer.push(token, row.output_length > sampling.min_tokens)
        if stop is not None:
            row.finish_reason = "stop"
            return text, stop
        if matcher is not None:
            matcher.advance(token)
            if matcher.error is not None:
                row.fault = RowFault(matcher.error, "structure")
                return text, None
            if matcher.exhausted:
                row.finish_reason = "stop"
                return text + row.detokenizer.flush(), None
        if len(row.tokens) >= row.limit:
            row.finish_reason = "length"
            text += row.detokenizer.flush()
        return text, None

    def _add(self, row: Row, stats: Sequence[float]) -> None:
        """Add a step to the row's totals: [steering, truncation, sampled, base mass, V..., spread...]."""
        steering, truncation = max(0.0, stats[0]), max(0.0, stats[1])
        columns = self._named(row.named)[1]
        step = [steering, truncation, stats[2] - stats[3], math.exp(-truncation), *(stats[c] for c in columns)]
        row.totals = list(map(add, row.totals, step)) if row.totals else step
        row.guided_tokens += 1

    def _named(self, named: tuple[int, ...]) -> tuple[list[str], list[int]]:
        """Names of columns, and where their values and spreads stand in a row's statistics; made once per choice."""
        if named not in self._known:
            shift = FIXED_COLUMNS + len(self._names)
            where = [FIXED_COLUMNS + c for c in named] + [shift + c for c in named]
            self._known[named] = [self._names[c] for c in named], where
        return self._known[named]

    def _summary(self, row: Row) -> GuidanceStats:
        count, named = row.guided_tokens, len(row.named)
        steering, truncation, sampled, mass = row.totals[:4]
        names = self._named(row.named)[0]
        means = [total / count for total in row.totals[4:]]
        values, spreads = dict(zip(names, means[:named], strict=True)), dict(zip(names, means[named:], strict=True))
        return GuidanceStats(row.beta, count, steering, truncation, sampled, values, mass / count, spreads)

    def _report(self, row: Row, token: int, stats: Sequence[float]) -> TokenReport:
        values = {self._names[column]: stats[FIXED_COLUMNS + column] for column in row.named}
        return TokenReport(token, stats[2], stats[3], max(0.0, stats[0]), max(0.0, stats[1]), values)
