"""What the answers say: every cell's figures, and per objective how words as a value compare with words as a prompt.

At equal KL: the measure along the weights 0, 1, 2, 3 is interpolated to the KL per answer that the told model spends,
linear in the square root of KL, as ``mavis evaluate`` does it. Intervals are 95 % of a paired bootstrap over prompts;
the KL that is matched is each resample's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.words.cells import BASE, Cell
from benchmarks.words.measured import Measured
from benchmarks.words.measures import MEASURES
from value_models.evaluation.bootstrap import Array, Interval, interval
from value_models.evaluation.matched import at_budget
from value_models.evaluation.table import distinct2

MARGIN = 0.1  # standard deviations over the base's answers that "no worse" may be worse

AtEqual = Literal["better", "no worse", "worse", "undecided", "does not reach it"]
Beyond = Literal["goes on", "does not go on", "undecided", "spends no more"]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one cell: means over its answers, but for perplexity and distinct-2, which are of all of them together.

    Attributes:
        measure: as it is shown.
        steering_per_token, steering_per_answer: nats; the first is all nats over all tokens.
        cut: share of answers that ended at the limit.
        first: texts, to look at.
    """

    measure: Interval
    steering_per_token: float
    steering_per_answer: float
    truncation_per_token: float
    perplexity: float
    distinct2: float
    words: float
    tokens: float
    cut: float
    empty: float
    seconds_per_answer: float
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Attributes:
    at_equal: measure at the told model's KL less the told model's, more is better; None where no weight spends so much.
    beyond: weight -> measure less the told model's.
    avoids: the base's measure less that at weight -1.
    """

    at_equal: Interval | None
    margin: float
    beyond: dict[str, Interval]
    avoids: Interval

    @property
    def equal_outcome(self) -> AtEqual:
        if self.at_equal is None:
            return "does not reach it"
        if self.at_equal.low > 0:
            return "better"
        if self.at_equal.low > -self.margin:
            return "no worse"
        return "worse" if self.at_equal.high < 0 else "undecided"

    @property
    def beyond_outcome(self) -> Beyond:
        if not self.beyond:
            return "spends no more"
        if any(each.low > 0 for each in self.beyond.values()):
            return "goes on"
        return "does not go on" if all(each.high < 0 for each in self.beyond.values()) else "undecided"


class Findings(Measured[Cell]):
    """Of objectives in words, told and steered; see ``Measured``."""

    def figures(self, cell: Cell, objective: str) -> Figures:
        """Of a cell, measured by what ``objective`` is measured by."""
        answers, sign = self._answers[cell], MEASURES[objective].sign
        tokens = sum(a.tokens for a in answers)
        return Figures(
            measure=interval(sign * self._mean(self._scores(cell, objective))),
            steering_per_token=sum(a.steering_nats for a in answers) / tokens,
            steering_per_answer=_average([a.steering_nats for a in answers]),
            truncation_per_token=sum(a.truncation_nats for a in answers) / tokens,
            perplexity=float(np.exp(sum(a.base_nll for a in answers) / tokens)),
            distinct2=distinct2([a.text for a in answers]),
            words=_average([len(a.text.split()) for a in answers]),
            tokens=tokens / len(answers),
            cut=_average([a.finish == "length" for a in answers]),
            empty=_average([not a.text.strip() for a in answers]),
            seconds_per_answer=answers[0].seconds,
            first=tuple(a.text for a in answers[:5]),
        )

    def verdict(self, objective: str) -> Verdict | None:
        """None while one of the objective's cells is missing."""
        told, avoided = Cell(objective), Cell(objective, -1.0)
        curve = [Cell(objective, weight) for weight in (1.0, 2.0, 3.0)]
        if any(cell not in self._answers for cell in (told, avoided, *curve)):
            return None
        own, base = (self._mean(self._scores(cell, objective)) for cell in (told, BASE))
        along = [self._mean(self._scores(cell, objective)) for cell in curve]
        budget = self._mean(self._nats(told))
        kl = np.stack([self._mean(self._nats(cell)) for cell in curve], axis=1)
        at_equal = None
        if kl[0].max() >= budget[0]:
            rewards = np.stack(along, axis=1)[..., None]
            pairs = zip(kl, rewards, base, budget, strict=True)
            found = [at_budget(k, r, np.array([b]), nats)[0] for k, r, b, nats in pairs]
            at_equal = interval(np.array(found) - own)
        further = [i for i, cell in enumerate(curve) if kl[0, i] > budget[0] and cell.weight != 1.0]
        return Verdict(
            at_equal=at_equal,
            margin=MARGIN * float(self._scores(BASE, objective).std()),
            beyond={f"{curve[i].weight:g}": interval(along[i] - own) for i in further},
            avoids=interval(base - self._mean(self._scores(avoided, objective))),
        )

    def _nats(self, cell: Cell) -> Array:
        return np.array([a.steering_nats for a in self._answers[cell]])


def _average(values: Sequence[float]) -> float:
    return float(np.mean(values))
