"""The answers of every cell, one file each: what is there is not asked again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

from benchmarks.from_words.cells import BASE, TOLD, WORDS, Cell, cells
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from value_models import durable
from value_models.evaluation.instructed import answer_instructed
from value_models.evaluation.sampling import SampledAnswer, answer, read, write
from value_models.folders import load_value
from value_models.identity import identify
from value_models.prompts import Prompt, file_hash, place_of

PROMPT_ROOM = 320  # tokens that a prompt and its instruction may have


@dataclass
class Run:
    """Args:
    folder: gets the answers.
    policy: what is steered and told.
    objectives: name -> instruction.
    values: name -> folder of a value that has all of these objectives; at most ``rows`` answers run at a time.
    file, prompts: what is asked.
    tokens: most per answer.
    top_k: candidates in every cell.
    seed: of everything that is drawn.
    """

    folder: Path
    policy: Policy
    objectives: Mapping[str, str]
    values: Mapping[str, Path]
    file: Path
    prompts: Sequence[Prompt]
    tokens: int
    rows: int
    top_k: int
    seed: int
    _engines: dict[str, Engine] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        return cells(list(self.objectives), list(self.values))

    def begin(self) -> None:
        """Write what this folder holds, or compare with it; values and objectives may be added.

        Raises:
            RunError: it was begun with other settings, or a value of this name was another one.
        """
        shared = {"prompts": file_hash(self.file), "count": len(self.prompts), "tokens": self.tokens}
        shared |= {"seed": self.seed, "top_k": self.top_k, "policy": asdict(identify(self.policy))}
        durable.write_or_match(self.folder / "manifest.json", shared | {"dtype": str(self.policy.dtype)})
        for name, instruction in self.objectives.items():
            durable.write_or_match(self.folder / f"{name}.json", {"instruction": instruction})
        for name, value in self.values.items():
            made = {file: file_hash(value / file) for file in ("config.json", "model.safetensors")}
            durable.write_or_match(self.folder / f"value-{name}.json", made)

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

    def engine(self, value: str) -> Engine:
        """With this value; "" is the policy alone."""
        if value not in self._engines:
            most = min(PROMPT_ROOM + self.tokens, self.policy.max_model_len)
            loaded = [load_value(self.values[value], self.policy)] if value else []
            self._engines[value] = Engine(self.policy, loaded, EngineConfig(max_model_len=most, max_num_seqs=self.rows))
        return self._engines[value]

    def _answers(self, cell: Cell, bar: tqdm[None]) -> list[SampledAnswer]:
        plain, same = self._encoded(None), (1, self.tokens, self.seed)
        steer = Guidance({cell.objective: cell.weight} if cell != BASE else {}, beta=1.0, top_k=self.top_k)
        if cell.by in self.values:  # at the value's own beta, as a request that names none has it
            own = Guidance(steer.weights, top_k=self.top_k)
            return answer(self.engine(cell.by), plain, own, *same, progress=bar.update)
        told = self._encoded(self.objectives.get(cell.objective))
        if cell.by == TOLD:
            return answer_instructed(self.engine(""), told, plain, self.top_k, *same, progress=bar.update)
        words = [[PromptedObjective(cell.objective, tuple(ids))] if cell.by == WORDS else [] for ids in told]
        return answer(self.engine(""), plain, steer, *same, prompted=words, progress=bar.update)

    def _encoded(self, instruction: str | None) -> list[list[int]]:
        assert self.policy.tokenizer is not None
        place = place_of(self.policy.tokenizer)
        asked = [prompt.told(instruction, place) if instruction else prompt for prompt in self.prompts]
        return [prompt.encode(self.policy.tokenizer) for prompt in asked]

    def _path(self, cell: Cell) -> Path:
        return self.folder / f"{cell.name}.jsonl"
