"""What is asked in every cell: the model left alone, told, or steered by the same words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tqdm import tqdm

from benchmarks.words.cell_files import CellFiles
from benchmarks.words.cells import Cell, cells
from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.engine import Engine
from value_models.evaluation.instructed import answer_instructed
from value_models.evaluation.sampling import SampledAnswer, answer


@dataclass
class Run(CellFiles[Cell]):
    """Of objectives in words; see ``CellFiles``."""

    @cached_property
    def engine(self) -> Engine:
        return self.engine_with([])

    @property
    def cells(self) -> list[Cell]:
        return cells(list(self.objectives))

    def answers(self, cell: Cell, bar: tqdm[None]) -> list[SampledAnswer]:
        plain, same = self.encoded(None), (1, self.tokens, self.seed)
        if not cell.objective:
            return answer(self.engine, plain, Guidance(top_k=self.top_k), *same, progress=bar.update)
        told = self.encoded(self.objectives[cell.objective])
        if cell.weight is None:
            return answer_instructed(self.engine, told, plain, self.top_k, *same, progress=bar.update)
        words = [[PromptedObjective(cell.objective, tuple(ids))] for ids in told]
        steer = Guidance({cell.objective: cell.weight}, beta=1.0, top_k=self.top_k)
        return answer(self.engine, plain, steer, *same, prompted=words, progress=bar.update)
