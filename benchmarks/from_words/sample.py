"""What is asked in every cell: the model left alone, told, steered by words, or by a value that was taught them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from benchmarks.from_words.cells import BASE, TOLD, WEIGHTS, WORDS, Cell, cells
from benchmarks.words.cell_files import CellFiles
from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.engine import Engine
from value_models import durable
from value_models.evaluation.instructed import answer_instructed
from value_models.evaluation.sampling import SampledAnswer, answer
from value_models.folders import load_value
from value_models.kinds.registry import stacked
from value_models.prompts import file_hash
from value_models.value_config import CONFIG_FILE, WEIGHTS_FILE

FILES = (CONFIG_FILE, WEIGHTS_FILE)


@dataclass
class Run(CellFiles[Cell]):
    """Args:
    values: name -> folders of values that have all of these objectives between them.
    weights: of each cell that a value or words steer.
    words: whether the sentences themselves are asked, too.
    """

    values: Mapping[str, Sequence[Path]]
    weights: Sequence[float] = WEIGHTS
    words: bool = True
    _engines: dict[str, Engine] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        return cells(list(self.objectives), list(self.values), self.weights, self.words)

    def begin(self) -> None:
        """As ``CellFiles``, and values may be added.

        Raises:
            RunError: it was begun with other settings, or a value of this name was another one.
        """
        super().begin()
        for name, folders in self.values.items():
            made = {f"{each.name}/{file}": file_hash(each / file) for each in folders for file in FILES}
            durable.write_or_match(self.folder / f"value-{name}.json", made)

    def engine(self, value: str) -> Engine:
        """With this value; "" is the policy alone."""
        if value not in self._engines:
            folders = self.values[value] if value else []
            self._engines[value] = self.engine_with(stacked([load_value(folder, self.policy) for folder in folders]))
        return self._engines[value]

    def answers(self, cell: Cell, bar: tqdm[None]) -> list[SampledAnswer]:
        plain, same = self.encoded(None), (1, self.tokens, self.seed)
        steer = Guidance({cell.objective: cell.weight} if cell != BASE else {}, beta=1.0, top_k=self.top_k)
        if cell.by in self.values:  # at the value's own beta, as a request that names none has it
            own = Guidance(steer.weights, top_k=self.top_k)
            return answer(self.engine(cell.by), plain, own, *same, progress=bar.update)
        told = self.encoded(self.objectives.get(cell.objective))
        if cell.by == TOLD:
            return answer_instructed(self.engine(""), told, plain, self.top_k, *same, progress=bar.update)
        words = [[PromptedObjective(cell.objective, tuple(ids))] if cell.by == WORDS else [] for ids in told]
        return answer(self.engine(""), plain, steer, *same, prompted=words, progress=bar.update)
