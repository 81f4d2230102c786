"""The answers of cells, measured by what their objective is measured by, and resampled over prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic

import numpy as np

from benchmarks.words.cell_files import CellT
from benchmarks.words.measures import MEASURES
from value_models.evaluation.bootstrap import Array, resamples
from value_models.evaluation.sampling import SampledAnswer
from value_models.prompts import Prompt

RESAMPLES = 2000


class Measured(Generic[CellT]):
    """Args:
    prompts: what was asked.
    answers: of the cells that are there, the base among them; one per prompt each.
    """

    def __init__(
        self, prompts: Sequence[Prompt], answers: Mapping[CellT, Sequence[SampledAnswer]], seed: int = 0
    ) -> None:
        self._prompts, self._answers = prompts, answers
        self._shares = resamples(len(prompts), RESAMPLES, seed)

    def _scores(self, cell: CellT, objective: str) -> Array:
        """(P,), more is more of the objective."""
        asked = [self._prompts[a.prompt] for a in self._answers[cell]]
        return np.array(MEASURES[objective].score(asked, [a.text for a in self._answers[cell]]))

    def _mean(self, per_prompt: Array) -> Array:
        """(P,) -> (R + 1,), the first of the sample itself."""
        return np.asarray(self._shares @ per_prompt)
