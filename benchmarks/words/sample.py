"""The answers of every cell, one file each: what is there is not asked again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from tqdm import tqdm

from benchmarks.words.cells import Cell, cells
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from value_models import durable
from value_models.evaluation.instructed import answer_instructed
from value_models.evaluation.sampling import SampledAnswer, answer, read, write
from value_models.identity import identify
from value_models.prompts import Prompt, file_hash, place_of

PROMPT_ROOM = 320  # tokens that a prompt and its instruction may have


@dataclass
class Run:
    """Args:
    folder: gets the answers.
    policy: what is steered and told.
    objectives: name -> instruction, in the order in which they are asked for.
    file, count: of the prompts.
    tokens: most per answer.
    rows: places in the batch; an answer steered by words takes two.
    top_k: candidates in every cell.
    seed: of everything that is drawn.
    """

    folder: Path
    policy: Policy
    objectives: Mapping[str, str]
    file: Path
    prompts: Sequence[Prompt]
    tokens: int
    rows: int
    top_k: int
    seed: int

    @cached_property
    def engine(self) -> Engine:
        most = min(PROMPT_ROOM + self.tokens, self.policy.max_model_len)
        return Engine(self.policy, [], EngineConfig(max_model_len=most, max_num_seqs=self.rows))

    @property
    def cells(self) -> list[Cell]:
        return cells(list(self.objectives))

    def begin(self) -> None:
        """Write what this folder holds, or compare with it; objectives may be added.

        Raises:
            RunError: it was begun with other settings.
        """
        shared = {"prompts": file_hash(self.file), "count": len(self.prompts), "tokens": self.tokens}
        shared |= {"seed": self.seed, "top_k": self.top_k, "policy": asdict(identify(self.policy))}
        shared |= {"dtype": str(self.policy.dtype)}
        durable.write_or_match(self.folder / "manifest.json", shared)
        for name, instruction in self.objectives.items():
            durable.write_or_match(self.folder / f"{name}.json", {"instruction": instruction})

    def sample(self, minutes: float) -> None:
        """Every cell that is missing, as long as there is time for another one."""
        missing = [cell for cell in self.cells if not self._path(cell).exists()]
        until = time.monotonic() + 60 * minutes
        with tqdm(total=len(missing) * len(self.prompts), unit="answer", smoothing=0.05) as bar:
            for cell in missing:
                if time.monotonic() > until:
                    return
                bar.set_description(cell.name)
                write(self._path(cell), self._answers(cell, bar))

    def found(self) -> dict[Cell, list[SampledAnswer]]:
        """Of the cells that are there."""
        return {cell: read(self._path(cell)) for cell in self.cells if self._path(cell).exists()}

    def _answers(self, cell: Cell, bar: tqdm[None]) -> list[SampledAnswer]:
        plain, same = self._encoded(None), (1, self.tokens, self.seed)
        if not cell.objective:
            return answer(self.engine, plain, Guidance(top_k=self.top_k), *same, progress=bar.update)
        told = self._encoded(self.objectives[cell.objective])
        if cell.weight is None:
            return answer_instructed(self.engine, told, plain, self.top_k, *same, progress=bar.update)
        words = [[PromptedObjective(cell.objective, tuple(ids))] for ids in told]
        steer = Guidance({cell.objective: cell.weight}, beta=1.0, top_k=self.top_k)
        return answer(self.engine, plain, steer, *same, prompted=words, progress=bar.update)

    def _encoded(self, instruction: str | None) -> list[list[int]]:
        assert self.policy.tokenizer is not None
        place = place_of(self.policy.tokenizer)
        asked = [prompt.told(instruction, place) if instruction else prompt for prompt in self.prompts]
        return [prompt.encode(self.policy.tokenizer) for prompt in asked]

    def _path(self, cell: Cell) -> Path:
        return self.folder / f"{cell.name}.jsonl"
