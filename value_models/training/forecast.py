"""What a run will take, told before it starts: minutes and gigabytes, from a short trial on this machine.

It is a forecast: responses that end early, prompts that differ and other programs change it. Where a resumed run has
shards, their trees say how long responses are; else nothing is taken to end before the limit, and it says "up to".
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mavis_core.engine import Engine
from value_models.kinds.head_trainee import STATES_KEPT
from value_models.rollouts.shape import Shape
from value_models.training.recommended_beta import RUNS
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


def forecast(
    work: Work,
    sampled: Sampled,
    scoring: float,
    learned: Learned | None,
    config: TrainConfig,
    engine: Engine,
    judges: Sequence[str],
) -> list[str]:
    """Lines for people.

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
    stored = disk(work, learned.parameters if learned else 0)
    return [
        FROM,
        rollouts_line(work, sampled),
        f"  labels    {_about(work)}{duration(seconds['labels'])}: {work.unlabelled * work.responses:,.0f} responses"
        + (f"; and the time that as many questions take each of {', '.join(judges)}" if judges else ""),
        f"  training  up to {duration(seconds['training'])}: {work.epochs_left} epochs"
        if learned is not None
        else "  training  not foreseen for an lm of this size; its bar will tell",
        f"  beta      up to {duration(seconds['beta'])}",
        f"  in all    up to {duration(sum(seconds.values()))}, {stored / 1e9:.2g} GB of disk, "
        f"{_memory(work, config, engine) / 1e9:.2g} GB of memory",
    ]


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
    """Every tree is met once, and then again in every further epoch. Attention of longer trees costs more per token."""
    hidden: int = engine.policy.readout.weight.shape[1]
    long, tried = (1 + size / (6 * hidden) for size in (work.tokens, learned.tokens))
    if not work.epochs_left:
        return 0.0
    per_token = (learned.first + (work.epochs_left - 1) * learned.again) * long / tried
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
    return min(STATES_KEPT, work.prompts * work.tokens * hidden * 4)


def _memory(work: Work, config: TrainConfig, engine: Engine) -> float:
    """What the trial took, the KV that it did not touch, and the hidden states that a head keeps."""
    states = 0.0 if config.kind == "lm" else kept_states(work, engine.policy.readout.weight.shape[1])
    if engine.policy.device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(engine.policy.device)) + states
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return float(peak) + engine.info.kv_cache_bytes + states
