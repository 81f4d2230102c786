"""The answers of every cell, one file each: what is there is not asked again. What is asked is the benchmark's own."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tqdm import tqdm

from mavis_core.api.config import EngineConfig
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.values.protocol import ValueFunction
from value_models import durable
from value_models.evaluation.sampling import SampledAnswer, read, write
from value_models.identity import identify
from value_models.prompts import Prompt, file_hash, place_of

PROMPT_ROOM = 320  # tokens that a prompt and its instruction may have


class Named(Protocol):
    @property
    def name(self) -> str:
        """Of its file."""
        ...


CellT = TypeVar("CellT", bound=Named)


@dataclass
class CellFiles(ABC, Generic[CellT]):
    """Args:
    folder: gets the answers.
    policy: what is steered and told.
    objectives: name -> instruction, in the order in which they are asked for.
    file, prompts: what is asked.
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

    @property
    @abstractmethod
    def cells(self) -> list[CellT]: ...

    @abstractmethod
    def answers(self, cell: CellT, bar: tqdm[None]) -> list[SampledAnswer]:
        """Ask every prompt once."""

    def begin(self) -> None:
        """Write what this folder holds, or compare with it; objectives may be added.

        Raises:
            RunError: it was begun with other settings.
        """
        shared = {"prompts": file_hash(self.file), "count": len(self.prompts), "tokens": self.tokens}
        shared |= {"seed": self.seed, "top_k": self.top_k, "policy": identify(self.policy).exact}
        durable.write_or_match(self.folder / "manifest.json", shared | {"dtype": str(self.policy.dtype)})
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
                write(self._path(cell), self.answers(cell, bar))

    def found(self) -> dict[CellT, list[SampledAnswer]]:
        """Of the cells that are there."""
        return {cell: read(self._path(cell)) for cell in self.cells if self._path(cell).exists()}

    def engine_with(self, values: Sequence[ValueFunction]) -> Engine:
        most = min(PROMPT_ROOM + self.tokens, self.policy.max_model_len)
        return Engine(self.policy, values, EngineConfig(max_model_len=most, max_num_seqs=self.rows))

    def encoded(self, instruction: str | None) -> list[list[int]]:
        """Token ids of the prompts, told the instruction if there is one."""
        assert self.policy.tokenizer is not None
        place = place_of(self.policy.tokenizer)
        asked = [prompt.told(instruction, place) if instruction else prompt for prompt in self.prompts]
        return [prompt.encode(self.policy.tokenizer) for prompt in asked]

    def _path(self, cell: CellT) -> Path:
        return self.folder / f"{cell.name}.jsonl"
