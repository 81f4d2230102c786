"""Turns drawn tokens into messages: appends them to rows, decides which rows are finished and why, makes text.

Host work only, after the step's sync, each row inside ``alone``. Stop reasons, in order: the model's own stop token,
a requested stop token, a stop string, a structure that nothing can follow, the length limit.
"""

from __future__ import annotations

from collections.abc import Sequence

from mavis_core.api.messages import ChoiceDelta, GuidanceStats, ObjectiveInfo, TokenLogprobs, TokenReport
from mavis_core.sample.floors import FoundWeights
from mavis_core.sample.kl import DrawStats
from mavis_core.sample.sampler import SampledToken
from mavis_core.schedule.row import AddingTo, Evaluated, Row, RowFault
from mavis_core.schedule.row_fault import NOT_FINITE, alone


class Emitter:
    """Args: objectives: the engine's, in column order."""

    def __init__(self, objectives: Sequence[ObjectiveInfo]) -> None:
        self._names = [objective.name for objective in objectives]

    def emit(
        self, rows: Sequence[Row], draws: Sequence[SampledToken], logprobs: Sequence[TokenLogprobs | None]
    ) -> dict[str, list[ChoiceDelta]]:
        """Append every row's token and return the deltas by request id; a row with a fault has none."""
        deltas: dict[str, list[ChoiceDelta]] = {}
        _track_reasoning(rows, draws)
        _begin_grammars(rows, draws)
        for row, draw, likely in zip(rows, draws, logprobs, strict=True):
            mine = deltas.setdefault(row.request.id, [])
            if not draw.finite:
                row.fault = RowFault(NOT_FINITE, spoiled=True)
            if row.fault is None:
                with alone(row, "on the way from its token to its text"):
                    mine.append(self._advance(row, draw.token, draw.stats, likely, draw.found))
        return deltas

    def _advance(
        self,
        row: Row,
        token: int,
        stats: DrawStats | None,
        logprobs: TokenLogprobs | None,
        found: FoundWeights | None = None,
    ) -> ChoiceDelta:
        if row.limit == row.prompt_length:  # max_tokens=0 only reads the prompt: the drawn token is dropped
            row.finish_reason = "length"
            return ChoiceDelta(row.index, "", (), finish_reason="length")
        row.append(token)
        text, stop_reason = self._finish(row, token)
        kl_nats: tuple[float, ...] = ()
        reports: tuple[TokenReport, ...] = ()
        if stats is not None:
            if row.guided and row.steers:
                self._add(row, stats, found)
                kl_nats = (stats.steering + stats.truncation,)
            if row.request.guidance.report or row.answer:
                reports = (self._report(row, token, stats),)
        told = row.finish_reason is not None and (row.guided or row.guided_tokens)
        change, row.change = row.change, None
        return ChoiceDelta(
            row.index,
            text,
            (token,),
            (logprobs,) if logprobs is not None else (),
            reports,
            row.finish_reason,
            stop_reason,
            self._summary(row) if told else None,
            change,
            kl_nats,
        )

    def _finish(self, row: Row, token: int) -> tuple[str, str | int | None]:
        """Text that became final, and what stopped the row beyond its own EOS; sets ``finish_reason``."""
        sampling, matcher = row.request.sampling, None if row.reasoned else row.matcher
        if row.answer:  # given: nothing but its end ends it, and its text is known
            row.finish_reason = "length" if len(row.tokens) >= row.limit else None
            return "", None
        if token in row.stop_ids:
            row.finish_reason = "stop"
            own = token in row.stop_ids[: row.eos_count]
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

    def _add(self, row: Row, stats: DrawStats, found: FoundWeights | None) -> None:
        """Add a step to the row's totals, in the order of ``Row.totals``, and to those of its objectives."""
        totals, values, spreads = row.totals, stats.values, stats.spreads
        totals[0] += stats.steering
        totals[1] += stats.truncation
        totals[2] += stats.sampled
        totals[3] += stats.base_mass
        row.guided_tokens += 1
        for sums, column in self._sums(row):
            sums.tokens += 1
            sums.value += values[column]
            sums.spread += spreads[column]
        if found is not None:
            self._add_found(row, found)

    def _add_found(self, row: Row, found: FoundWeights) -> None:
        """What is left of the given weights, and what was found beside them."""
        for name, weight in (*((self._names[column], row.weights[column]) for column in row.named), *row.in_words):
            row.evaluated[name].weight += found.share * weight
        for aim, pull, missed in zip(row.aims, found.pull, found.missed, strict=False):
            row.evaluated[aim.name].weight += pull / row.beta
            row.evaluated[aim.name].missed += int(missed)

    def _sums(self, row: Row) -> Sequence[tuple[Evaluated, int]]:
        """The sums of every objective that the row names, with its column; found once, until it is steered otherwise
        or the columns move, either of which gives it other tuples."""
        kept = row.adding_to
        if kept is None or kept.named is not row.named or kept.in_words is not row.in_words:
            found = [(row.evaluated.setdefault(name, Evaluated()), column) for name, column in self._reported(row)]
            kept = row.adding_to = AddingTo(row.named, row.in_words, found)
        return kept.sums

    def _reported(self, row: Row) -> list[tuple[str, int]]:
        """Name and column of every objective that the row names: the loaded ones first, then those in words."""
        loaded = [(self._names[column], column) for column in row.named]
        return loaded + [(name, column) for column, (name, _) in enumerate(row.in_words, len(self._names))]

    def _summary(self, row: Row) -> GuidanceStats:
        steering, truncation, sampled, mass = row.totals
        now = {name: Evaluated() for name, _ in self._reported(row)}
        sums, solved = now | row.evaluated, row.request.guidance.solved
        return GuidanceStats(
            row.beta,
            row.guided_tokens,
            steering,
            truncation,
            sampled,
            {name: each.value / max(each.tokens, 1) for name, each in sums.items()},
            mass / max(row.guided_tokens, 1),
            {name: each.spread / max(each.tokens, 1) for name, each in sums.items()},
            row.read_beside + sum(companion.fed for companion in row.companions),
            found_weights={name: e.weight / max(e.tokens, 1) for name, e in sums.items()} if solved else None,
            floors_missed={name: sums[name].missed for name in row.request.guidance.floors} if solved else None,
        )

    def _report(self, row: Row, token: int, stats: DrawStats) -> TokenReport:
        values = {name: stats.values[column] for name, column in self._reported(row)}
        if not row.steers:
            return TokenReport(token, stats.base_logprob, stats.base_logprob, 0.0, 0.0, values, steered=False)
        return TokenReport(token, stats.logprob, stats.base_logprob, stats.steering, stats.truncation, values)


def _track_reasoning(rows: Sequence[Row], draws: Sequence[SampledToken]) -> None:
    for row, draw in zip(rows, draws, strict=True):
        if row.reasoning is None or row.fault is not None or not draw.finite or draw.token in row.stop_ids:
            continue
        with alone(row, "in its reasoning"):
            row.reasoning.push(draw.token)


def _begin_grammars(rows: Sequence[Row], draws: Sequence[SampledToken]) -> None:
    """Give every grammar its token before waiting for any of them: each is a process that works beside the others."""
    for row, draw in zip(rows, draws, strict=True):
        if row.matcher is None or row.fault is not None or not draw.finite or row.reasoned:
            continue
        with alone(row, "in its grammar"):
            if not row.matcher.ended and draw.token not in row.stop_ids:
                row.matcher.begin(draw.token)
