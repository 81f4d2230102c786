"""Finds the recommended beta of each objective: 0.2 nats of steering KL per token at weight 1, on held-out prompts.

Steering KL grows with beta, near zero as its square, so a secant through the logarithms of both finds the target in a
few runs. The same weight then costs the same KL with every value, which is what makes weights comparable.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from mavis_core.api.guidance import MAX_BETA, Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from value_models.progress import progress_bar
from value_models.value_config import ValueConfig

TARGET = 0.2
TOLERANCE = 0.05
RUNS = 6


def steering_kl(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    objective: str,
    beta: float,
    max_tokens: int,
    top_k: int,
    seed: int,
    answered: Callable[[int], object] = lambda count: None,
) -> float:
    """Mean steering KL per token in nats, over all tokens of one sample per prompt; ``answered`` is told of prompts."""
    samplings = [SamplingParams(max_tokens=max_tokens, seed=seed * 1_000_003 + i) for i in range(len(prompts))]
    answers = generate(engine, prompts, samplings, Guidance({objective: 1.0}, beta, top_k), answered)
    stats = [choice.guidance for choices in answers for choice in choices if choice.guidance is not None]
    return sum(s.steering_nats for s in stats) / sum(s.tokens for s in stats)


def tune(measure: Callable[[float], float], most: float = MAX_BETA) -> tuple[float, float]:
    """(beta, its steering KL per token): within 5 % of the target, or the best of six runs.

    Args:
        measure: steering KL per token at a beta.
        most: largest beta that may be asked for.
    """
    beta, slope = min(1.0, most), 1.7
    tried: list[tuple[float, float]] = []
    for _ in range(RUNS):
        tried.append((beta, max(measure(beta), 1e-9)))
        if abs(tried[-1][1] / TARGET - 1) < TOLERANCE or (beta == most and tried[-1][1] < TARGET):
            break
        if len(tried) > 1 and tried[-1][0] != tried[-2][0]:
            (b0, k0), (b1, k1) = tried[-2:]
            slope = min(max(math.log(k1 / k0) / math.log(b1 / b0), 0.5), 2.5)
        beta = min(beta * (TARGET / tried[-1][1]) ** (1 / slope), most)
    return min(tried, key=lambda pair: abs(math.log(pair[1] / TARGET)))


def tune_folder(
    engine: Engine,
    folder: Path,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    top_k: int,
    seed: int,
    progress: bool = True,
    settled: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """Tune every objective of a value that ``engine`` has loaded, and rewrite its config.json; what was measured.

    Args:
        settled: objectives that keep the beta they have.
    """
    config = ValueConfig.load(folder)
    tuned, measured = [], {}
    most = RUNS * len(prompts)
    with progress_bar(most * len(config.objectives), "answers", "beta", progress) as bar:
        for number, objective in enumerate(config.objectives, 1):
            if objective.name in settled:
                tuned.append(objective)
                bar.update(most)
                continue

            def at(beta: float, name: str = objective.name) -> float:
                bar.set_postfix_str(f"{name} at {beta:.3g}")
                return steering_kl(engine, prompts, name, beta, max_tokens, top_k, seed, bar.update)

            beta, kl = tune(at, objective.pull_range[1] if objective.pull_range else MAX_BETA)
            bar.update(most * number - bar.n)  # it was found in fewer runs
            tuned.append(dataclasses.replace(objective, recommended_beta=round(beta, 3)))
            figures = {"beta": round(beta, 3), "steering_nats_per_token": round(kl, 4), "prompts": len(prompts)}
            measured[objective.name] = figures
    training = {**config.training, "recommended_beta": measured}
    dataclasses.replace(config, objectives=tuple(tuned), training=training).save(folder)
    return measured
