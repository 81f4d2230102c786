"""What a run will take, told before it starts: minutes and gigabytes, from a short trial on this machine.

It is a forecast: responses that end early, prompts that differ and other programs change it. Where a resumed run has
shards, their trees say how long responses are; else nothing is taken to end before the limit, and it says "up to".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mavis_core.engine import Engine
from value_models.kinds.head_trainee import STATES_KEPT
from value_models.rollouts.shape import Shape
from value_models.training.recommended_beta import RUNS
from value_models.training.sittings import peak_memory
from value_models.training.train_config import TrainConfig
from value_models.training.trial import Learned, Sampled

FROM = "Forecast, from a few seconds on this machine:"
TOKEN_BYTES = 16.5
"""Of a shard, per token: its id and three log-probabilities, and its share of the nodes."""
CHECKPOINT_BYTES = 16
"""Per parameter that is trained: itself, its best value, and two moments of AdamW."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to do.

    Attributes:
        prompts, prompts_left: in all, and not yet rolled out.
        unlabelled: prompts whose responses are not scored.
        tokens, responses: of one prompt's tree, on average.
        at_most: whether those are what nothing that ends early would give.
        prompt_tokens: of a prompt, on average.
        epochs_left: of training.
        tuned: answers of one run of tuning beta, of all objectives together.
        max_tokens: of an answer.
        objectives: M.
    """

    prompts: int
    prompts_left: int
    unlabelled: int
    tokens: float
    responses: float
    at_most: bool
    prompt_tokens: float
    epochs_left: int
    tuned: int
    max_tokens: int
    objectives: int


def tree_size(shape: Shape) -> tuple[float, float]:
    """(tokens, responses) of a tree of which nothing ends early."""
    layers = range(shape.depth)
    leaves = 1
    for layer in layers:
        leaves *= shape.branches(layer)
    return sum(shape.expected_tokens(layer) for layer in layers), float(leaves)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Attributes:
    seconds: by step; training is missing where a value of its kind is too large to try.
    disk_gb, memory_gb: of the whole run.
    lines: for people.
    """

    seconds: dict[str, float]
    disk_gb: float
    memory_gb: float
    lines: list[str]

    @property
    def record(self) -> dict[str, Any]:
        """For the report."""
        seconds = {step: round(each, 1) for step, each in self.seconds.items()}
        return {"seconds": seconds, "disk_gb": round(self.disk_gb, 3), "memory_gb": round(self.memory_gb, 2)}


def forecast(
    work: Work,
    sampled: Sampled,
    scoring: float,
    learned: Learned | None,
    config: TrainConfig,
    engine: Engine,
    judges: Sequence[str],
) -> Forecast:
    """What all steps will take.

    Args:
        scoring: seconds per response, of all rewards that were tried.
        learned: None where a value of this kind is too large to try.
        judges: rewards whose time nobody here knows.
    """
    seconds = {"rollouts": _rollout_seconds(work, sampled)}
    seconds["labels"] = work.unlabelled * work.responses * scoring
    if learned is not None:
        seconds["training"] = _training_seconds(work, learned, config, engine)
    seconds["beta"] = beta_tokens(work) / sampled.tokens_per_second
    stored = disk(work, learned.parameters if learned else 0) / 1e9
    memory = _memory(work, config, engine) / 1e9
    lines = [
        FROM,
        rollouts_line(work, sampled),
        f"  labels    {_about(work)}{duration(seconds['labels'])}: {work.unlabelled * work.responses:,.0f} responses"
        + (f"; and the time that as many questions take each of {', '.join(judges)}" if judges else ""),
        f"  training  up to {duration(seconds['training'])}: {work.epochs_left} epochs"
        if learned is not None
        else "  training  not foreseen for an lm of this size; its bar will tell",
        f"  beta      up to {duration(seconds['beta'])}",
        f"  in all    up to {duration(sum(seconds.values()))}, {stored:.2g} GB of disk, {memory:.2g} GB of memory",
    ]
    return Forecast(seconds, stored, memory, lines)


def rollouts_alone(work: Work, sampled: Sampled) -> Forecast:
    """What the rollouts will take; their memory is not looked at."""
    seconds = {"rollouts": _rollout_seconds(work, sampled)}
    return Forecast(seconds, disk(work, 0) / 1e9, 0.0, [FROM, rollouts_line(work, sampled)])


def rollouts_line(work: Work, sampled: Sampled) -> str:
    return (
        f"  rollouts  {_about(work)}{duration(_rollout_seconds(work, sampled))}: {work.prompts_left:,} prompts of "
        f"{_about(work)}{work.tokens:,.0f} tokens, {sampled.tokens_per_second:,.0f} tokens/s in {sampled.rows} rows"
    )


def _about(work: Work) -> str:
    return "up to " if work.at_most else "about "


def _rollout_seconds(work: Work, sampled: Sampled) -> float:
    return work.prompts_left * work.tokens / sampled.tokens_per_second


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _training_seconds(work: Work, learned: Learned, config: TrainConfig, engine: Engine) -> float:
    """Every tree is met once, and then again in every further epoch: from the states that a head kept, those for which
    there was room. Attention of longer trees costs more per token.
    """
    hidden: int = engine.policy.readout.weight.shape[1]
    long, tried = (1 + size / (6 * hidden) for size in (work.tokens, learned.tokens))
    if not work.epochs_left:
        return 0.0
    kept = 1.0 if config.kind == "lm" else kept_share(work, hidden)
    again = kept * learned.again + (1 - kept) * learned.first
    per_token = (learned.first + (work.epochs_left - 1) * again) * long / tried
    return work.prompts * (work.tokens + work.prompt_tokens) * per_token


def beta_tokens(work: Work) -> float:
    """Drawn at most while beta is tuned."""
    return float(work.tuned * work.max_tokens * RUNS)


def disk(work: Work, parameters: int) -> float:
    """Bytes of a run's folder; ``parameters`` are those that are trained."""
    shards = work.prompts * (work.tokens + work.prompt_tokens) * TOKEN_BYTES
    labels = work.prompts * work.responses * 8 * work.objectives
    return shards + labels + parameters * (CHECKPOINT_BYTES + 4)


def kept_states(work: Work, hidden: int) -> float:
    """Bytes of the policy's hidden states, of ``hidden`` numbers each, that a head keeps from epoch to epoch."""
    return min(STATES_KEPT, _all_states(work, hidden))


def kept_share(work: Work, hidden: int) -> float:
    """Share of all trees whose states there is room for."""
    return min(1.0, STATES_KEPT / _all_states(work, hidden))


def _all_states(work: Work, hidden: int) -> float:
    return work.prompts * work.tokens * hidden * 4


def _memory(work: Work, config: TrainConfig, engine: Engine) -> float:
    """What the trial took, the KV that it did not touch, and the hidden states that a head keeps."""
    states = 0.0 if config.kind == "lm" else kept_states(work, engine.policy.readout.weight.shape[1])
    if engine.policy.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(engine.policy.device)) + states
    return float(peak_memory()) + engine.info.kv_cache_bytes + states
