"""Rollouts of a whole prompt file: shard after shard, resumed where they stopped.

A shard is a function of its prompts, the settings and the seed: it starts on an idle engine, so batches have the same
shapes each time and even the last bit of a log-probability is the same. A shard that is there is done; one that was
under way when the process was killed is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from mavis_core.api.errors import InvalidRequestError, RunError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from value_models import durable
from value_models.identity import identify
from value_models.progress import progress_bar
from value_models.prompts import Prompt
from value_models.rollouts.forest import Forest
from value_models.rollouts.grow import grow
from value_models.rollouts.mixture import Mixture
from value_models.rollouts.shape import Shape
from value_models.rollouts.shards import MANIFEST, shard_path, write_shard

FORMAT = 1


@dataclass(frozen=True, slots=True)
class RolloutConfig:
    """How a prompt file is rolled out.

    Attributes:
        shape: of the trees.
        top_k: candidates at T = 1, guided or not; 40 is the paper's.
        shard_prompts: prompts per shard: what a kill costs at most, and what is batched together.
        weights, beta: steering of the policy; none is the base model.
        mixture: weights of its own for every tree, drawn; excludes the two above.
    """

    shape: Shape = field(default_factory=Shape)
    top_k: int = 40
    shard_prompts: int = 64
    weights: dict[str, float] = field(default_factory=dict)
    beta: float | None = None
    mixture: Mixture | None = None

    def __post_init__(self) -> None:
        if self.shard_prompts < 1:
            raise RunError(f"rollouts.shard_prompts={self.shard_prompts}: must be at least 1")
        if not 1 <= self.top_k <= 256:
            raise RunError(f"rollouts.top_k={self.top_k}: must be 1 to 256")
        if self.mixture and (self.weights or self.beta is not None):
            raise RunError(
                "rollouts.mixture: draws weights and beta for every tree; leave rollouts.weights and beta out"
            )

    @property
    def strongest(self) -> Guidance:
        """What steers most of all trees."""
        if self.mixture is None:
            return Guidance(self.weights, self.beta, self.top_k)
        return Guidance(dict.fromkeys(self.mixture.objectives, 1.0), self.mixture.beta, self.top_k)

    @property
    def kept(self) -> Sequence[str]:
        """Objectives whose weights are kept with every tree."""
        return self.mixture.objectives if self.mixture else ()

    def guidance(self, seed: int, prompt: int) -> Guidance:
        """What steers the tree of a prompt."""
        if self.mixture is None:
            return self.strongest
        strength, weights = self.mixture.draw(seed, prompt)
        return Guidance(weights, strength, self.top_k)


def roll_out(
    engine: Engine,
    prompts: Sequence[Prompt],
    config: RolloutConfig,
    seed: int,
    folder: Path,
    origin: dict[str, Any],
    progress: bool = True,
    announce: Callable[[Sequence[list[int]]], object] = lambda encoded: None,
) -> int:
    """Fill ``folder`` with the shards of ``prompts``; how many were made in this run.

    Args:
        engine: idle, with the values that ``config.weights`` names.
        origin: what was read to get here (prompt file and hash, values), for the manifest.
        announce: given the token ids of all prompts once all is checked, before anything is sampled; the engine is
            idle then, and has to be afterwards.

    Raises:
        RunError: a prompt does not fit, the values cannot steer as asked, or the folder belongs to other settings.
    """
    encoded = _encode(engine, prompts, config)
    _check_steering(engine, encoded[0], config)
    starts = range(0, len(encoded), config.shard_prompts)
    durable.write_or_match(folder / MANIFEST, _manifest(engine, config, seed, len(prompts), len(starts), origin))
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    announce(encoded)
    left = {
        index: range(start, min(start + config.shard_prompts, len(encoded)))
        for index, start in enumerate(starts)
        if not shard_path(folder, index).exists()
    }
    done = len(encoded) - sum(map(len, left.values()))
    with progress_bar(len(encoded), "prompts", "rollouts", progress, done) as bar:
        for index, numbers in left.items():
            engine.forget_prefixes()  # a shard is the same bytes whichever shards came before it

            def grown(share: float, count: int = len(numbers)) -> None:
                bar.update(count * share)

            forest = _grow_shard(engine, encoded, numbers, config, seed, grown)
            write_shard(shard_path(folder, index), forest, {"index": str(index), "seed": str(seed), **versions})
    return len(left)


def _grow_shard(
    engine: Engine,
    encoded: Sequence[list[int]],
    numbers: range,
    config: RolloutConfig,
    seed: int,
    progress: Callable[[float], object],
) -> Forest:
    chosen = [(number, encoded[number]) for number in numbers]
    steering = [config.guidance(seed, number) for number in numbers]
    return grow(engine, chosen, config.shape, steering, config.top_k, seed, config.kept, progress)


def _encode(engine: Engine, prompts: Sequence[Prompt], config: RolloutConfig) -> list[list[int]]:
    """Token ids of every prompt, each of which leaves room for its responses."""
    assert engine.tokenizer is not None, "prompts need a tokenizer"
    encoded = [prompt.encode(engine.tokenizer) for prompt in prompts]
    most = engine.info.max_model_len - config.shape.max_tokens
    for number, ids in enumerate(encoded):
        if not 1 <= len(ids) <= most:
            limit = f"1 to {most} leave room for {config.shape.max_tokens} more"
            raise RunError(f"prompt {number} ({prompts[number].text[:60]!r}) has {len(ids)} tokens: {limit}")
    return encoded


def _check_steering(engine: Engine, prompt: list[int], config: RolloutConfig) -> None:
    """Before a manifest says what was begun: the engine takes the request that is steered most."""
    try:
        engine.add(Request("check", tuple(prompt), SamplingParams(max_tokens=1), config.strongest))
    except InvalidRequestError as error:
        raise RunError(f"rollouts: {error}") from error
    engine.abort_all()


def check_policy(folder: Path, policy: str, found: Mapping[str, Any]) -> None:
    """Refuse another policy than the one that was rolled out: token ids and hidden states would not fit.

    Args:
        folder: of the rollouts.
        policy: what to call the one at hand.
        found: what is known of it, by the names of ``PolicyIdentity``.

    Raises:
        RunError: naming what differs.
    """
    made = durable.read_json(folder / MANIFEST).get("policy")
    if made is None:
        raise RunError(f"{folder}: is not a folder that `mavis rollouts` filled")
    if differ := [name for name in found if name != "name" and found[name] != made[name]]:
        told = "; ".join(f"{name} {made[name]} there, {found[name]} now" for name in differ)
        raise RunError(f"{folder}: was made with another policy than {policy} ({told})")


def _manifest(
    engine: Engine, config: RolloutConfig, seed: int, prompts: int, shards: int, origin: dict[str, Any]
) -> dict[str, Any]:
    settings = asdict(config)
    if config.mixture is None:
        del settings["mixture"]  # rollouts of before there were mixtures go on
    return {
        "format": FORMAT,
        "policy": identify(engine.policy).exact,
        "dtype": engine.info.dtype,
        "max_num_seqs": engine.info.max_num_seqs,
        "settings": settings,
        "seed": seed,
        "prompts": prompts,
        "shards": shards,
        **origin,
    }
