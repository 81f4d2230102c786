"""What the answers say of every cell, and whether a value does what its words do.

A value is compared with the words that taught it at the same weight, prompt by prompt: the difference of the measure as
a share of what the words moved. Intervals are 95 % of a paired bootstrap over prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.from_words.cells import BASE, WORDS, Cell
from benchmarks.words.measured import Measured
from benchmarks.words.measures import MEASURES
from value_models.evaluation.bootstrap import Array, Interval, interval


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one cell: means over its answers, but for perplexity, which is of all of them together.

    Attributes:
        measure: as it is shown.
        moved: measure less the base's, more is more of the objective; in standard deviations of the base's answers.
        beside_words: ``moved`` less that of the words at this weight; None of the words, and of the base.
        nats_per_token: steering KL.
        cut: share of answers that ended at the limit.
        first: texts, to look at.
    """

    measure: Interval
    moved: Interval
    beside_words: Interval | None
    nats_per_token: float
    nats_per_answer: float
    perplexity: float
    tokens: float
    words: float
    cut: float
    empty: float
    first: tuple[str, ...]


class Findings(Measured[Cell]):
    """Of values beside the words that taught them; see ``Measured``."""

    def figures(self, cell: Cell, objective: str, shown: int = 5) -> Figures:
        """Of a cell, measured by what ``objective`` is measured by, with so many of its answers to look at."""
        answers, scores, base = self._answers[cell], self._scores(cell, objective), self._scores(BASE, objective)
        tokens, words = sum(a.tokens for a in answers), Cell(WORDS, objective, cell.weight)
        unit = max(float(base.std()), 1e-9)
        beside = None
        if cell.by not in ("", WORDS) and words in self._answers:
            beside = self._interval((scores - self._scores(words, objective)) / unit)
        return Figures(
            measure=self._interval(MEASURES[objective].sign * scores),
            moved=self._interval((scores - base) / unit),
            beside_words=beside,
            nats_per_token=sum(a.steering_nats for a in answers) / tokens,
            nats_per_answer=sum(a.steering_nats for a in answers) / len(answers),
            perplexity=float(np.exp(sum(a.base_nll for a in answers) / tokens)),
            tokens=tokens / len(answers),
            words=float(np.mean([len(a.text.split()) for a in answers])),
            cut=float(np.mean([a.finish == "length" for a in answers])),
            empty=float(np.mean([not a.text.strip() for a in answers])),
            first=tuple(a.text for a in answers[:shown]),
        )

    def _interval(self, per_prompt: Array) -> Interval:
        return interval(self._mean(per_prompt))
