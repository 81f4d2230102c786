"""This engine's arms: unguided, guided by heads, by one value LM of many outputs, by one LM each, by words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.comparison.rounds import seconds
from benchmarks.peers.arm import Task, UnavailableError
from benchmarks.prompted import INSTRUCTION_TOKENS, told
from benchmarks.shapes import random_head, random_lm
from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.values.protocol import ValueFunction

BETA = 1.0


@dataclass(frozen=True, slots=True)
class ValueShapes:
    """Random values: ``objectives`` heads; LMs of ``hidden`` and ``layers``, of which ``lms`` stand beside each
    other where each has one objective."""

    objectives: int
    hidden: int
    layers: int
    lms: int


class EngineArm:
    """One engine with room for the task, and how its rows are guided."""

    def __init__(self, policy: Policy, values: Sequence[ValueFunction], task: Task, in_words: int = 0) -> None:
        places, instruction = task.rows * (1 + in_words), INSTRUCTION_TOKENS if in_words else 0
        config = EngineConfig(
            max_num_seqs=places,
            max_num_batched_tokens=max(2048, places),
            kv_cache_tokens=places * (task.length + instruction + 16),
            enable_prefix_caching=False,  # every round has the same prompts
        )
        self._engine = Engine(policy, values, config)
        names = [objective.name for objective in self._engine.info.objectives] or list(map(str, range(in_words)))
        self._guidance = Guidance({name: 1 / len(names) for name in names}, beta=BETA)
        self._in_words = in_words

    def seconds(self, prompts: list[list[int]], tokens: int) -> float:
        vocab = self._engine.info.vocab_size
        words = [[told(prompt, number, vocab) for number in range(self._in_words)] for prompt in prompts]
        sampling = SamplingParams(max_tokens=tokens, ignore_eos=True, seed=1)
        run = partial(generate, self._engine, prompts, sampling, self._guidance, prompted=words)
        return seconds(run)

    def close(self) -> None:
        del self._engine


def unguided(policy: Policy, task: Task) -> EngineArm:
    return EngineArm(policy, [], task)


def by_heads(policy: Policy, shapes: ValueShapes, task: Task) -> EngineArm:
    return EngineArm(policy, [random_head(policy, shapes.objectives)], task)


def by_one_lm(policy: Policy, shapes: ValueShapes, task: Task) -> EngineArm:
    return EngineArm(policy, [random_lm(policy, shapes.hidden, shapes.layers, range(shapes.objectives))], task)


def by_lms(policy: Policy, shapes: ValueShapes, task: Task) -> EngineArm:
    each = [random_lm(policy, shapes.hidden, shapes.layers, range(i, i + 1)) for i in range(shapes.lms)]
    return EngineArm(policy, each, task)


def by_words(policy: Policy, task: Task) -> EngineArm:
    return EngineArm(policy, [], task, in_words=2)


def quantised(policy: Policy, kind: str) -> Policy:
    """``policy``, which nobody else may hold, with weights of 8 or 4 bits.

    Raises:
        UnavailableError: this model's, or this machine's, cannot be.
    """
    try:
        policy.quantize(kind)
    except LoadError as error:
        raise UnavailableError(str(error)) from error
    policy.pack()
    return policy
