"""Which arms there are: each by name, made when its turn to be made comes, so that one that fails costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from benchmarks.limits import Work
from benchmarks.peers import own
from benchmarks.peers.arm import Arm, Task, UnavailableError
from benchmarks.peers.hugging_face import ContinuousArm, GenerateArm
from benchmarks.peers.llama_cpp import LlamaCppArm
from benchmarks.peers.papers import PapersArm, PapersValue, Way
from benchmarks.peers.vllm_cpu import VllmArm
from benchmarks.shapes import lm_architecture
from mavis_core.model.policy import Policy
from value_models.kinds.lm_backbone import build_lm

UNGUIDED, HEADS, ONE_LM, LMS, WORDS = "unguided", "heads", "one lm", "lms", "words"
INT8 = "unguided int8"
GENERATE, CONTINUOUS, VLLM = "generate()", "generate_batch()", "vLLM"
ONE_BY_ONE, SIDE_BY_SIDE = "papers' loop", "papers' batched loop"
OWN = (HEADS, ONE_LM, LMS, WORDS, INT8)
Maker = Callable[[Task], Arm]


@dataclass(frozen=True)
class Lineup:
    """What is compared.

    Attributes:
        model: folder as transformers saves it, or hub id, and ``policy`` what was loaded from it.
        shapes: of the random values.
        ggufs: files of the same model for llama.cpp, and ``llama_cpp`` the folder of its programs.
        vllm: Python of an environment that has vLLM.
    """

    model: str
    policy: Policy
    shapes: own.ValueShapes
    ggufs: tuple[Path, ...] = ()
    llama_cpp: Path | None = None
    vllm: Path | None = None

    @cached_property
    def int8(self) -> Policy:
        """The policy once more, with weights of 8 bits."""
        return own.quantised(Policy.load(self.model, self.policy.device, self.policy.dtype), "int8")

    @cached_property
    def other(self) -> Any:
        """The model once more, with transformers' own attention."""
        found = AutoModelForCausalLM.from_pretrained(self.model, dtype=self.policy.dtype)
        return found.to(self.policy.device).eval()

    def makers(self) -> dict[str, Maker]:
        """Every arm, ours first."""
        return {
            UNGUIDED: lambda task: own.unguided(self.policy, task),
            HEADS: lambda task: own.by_heads(self.policy, self.shapes, task),
            ONE_LM: lambda task: own.by_one_lm(self.policy, self.shapes, task),
            LMS: lambda task: own.by_lms(self.policy, self.shapes, task),
            WORDS: lambda task: own.by_words(self.policy, task),
            INT8: lambda task: own.unguided(self.int8, task),
            GENERATE: lambda task: GenerateArm(self.other),
            CONTINUOUS: lambda task: ContinuousArm(self.other, task),
            ONE_BY_ONE: self._one_by_one,
            SIDE_BY_SIDE: lambda task: self._papers("side by side"),
            **self._llama_cpp(),
            VLLM: self._vllm,
        }

    def weight_bytes(self, arm: str) -> int | None:
        """What a forward of an arm reads of the model's weights, or None if that is the policy's own."""
        if arm == INT8:
            return Work.of(self.int8.model).weight_bytes
        return next((gguf.stat().st_size for gguf in self.ggufs if _named(gguf) == arm), None)

    def _one_by_one(self, task: Task) -> Arm:
        if task.rows > 1:
            raise UnavailableError("it is for one row")
        return self._papers("one by one")

    def _papers(self, way: Way) -> Arm:
        shapes, values = self.shapes, []
        for _ in range(shapes.lms):
            backbone, readout = build_lm(lm_architecture(self.policy, shapes.hidden, shapes.layers), 1)
            backbone.to(self.policy.device, self.policy.dtype).eval()
            readout.to(self.policy.device, self.policy.dtype)
            values.append(PapersValue(backbone, readout, 1 / shapes.lms))
        return PapersArm(self.other, values, way)

    def _llama_cpp(self) -> Mapping[str, Maker]:
        def maker(gguf: Path) -> Maker:
            def make(task: Task) -> Arm:
                if self.llama_cpp is None:
                    raise UnavailableError("--llama-cpp is not given")
                return LlamaCppArm(self.llama_cpp, gguf, task)

            return make

        if not self.ggufs:
            return {"llama.cpp": _missing("--gguf is not given")}
        return {_named(gguf): maker(gguf) for gguf in self.ggufs}

    def _vllm(self, task: Task) -> Arm:
        if self.vllm is None:
            raise UnavailableError("--vllm is not given")
        return VllmArm(self.vllm, self.model, str(self.policy.dtype).removeprefix("torch."), task)


def _named(gguf: Path) -> str:
    return f"llama.cpp {gguf.stem}"


def _missing(reason: str) -> Maker:
    def make(task: Task) -> Arm:
        raise UnavailableError(reason)

    return make
