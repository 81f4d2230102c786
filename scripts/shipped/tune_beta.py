"""Sets each objective's recommended beta: 0.2 nats of steering KL per token at weight 1 on held-out prompts.

    python -m scripts.shipped.tune_beta --model FOLDER --values FOLDER --prompts prompts_valid.jsonl

Steering KL grows with beta, near zero as its square; a secant in log-log space finds the target in a few runs.
The config.json of every value is rewritten with the beta and the KL that was measured with it.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated

import typer

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import MAX_BETA, Guidance
from mavis_core.engine import Engine
from scripts.shipped.rollouts import answer, read_prompts
from value_models.loading import build_engine, value_folders
from value_models.value_config import ValueConfig

TARGET = 0.2
TOLERANCE = 0.05


def steering_kl(engine: Engine, conversations: list[list[dict[str, str]]], objective: str, beta: float) -> float:
    """Mean steering KL per token in nats, over all tokens of one sample per prompt."""
    _, completions = answer(engine, conversations, Guidance({objective: 1.0}, beta=beta), seed=7)
    stats = [completion.guidance for completion in completions if completion.guidance is not None]
    return sum(s.steering_nats for s in stats) / sum(s.tokens for s in stats)


def tune(engine: Engine, conversations: list[list[dict[str, str]]], objective: str) -> tuple[float, float]:
    """(beta, its steering KL per token): within 5 % of the target, or the best of six runs."""
    beta, slope, tried = 2.0, 1.7, []
    for _ in range(6):
        tried.append((beta, steering_kl(engine, conversations, objective, beta)))
        print(f"{objective}: beta {beta:.3f} -> {tried[-1][1]:.3f} nats per token")
        if abs(tried[-1][1] / TARGET - 1) < TOLERANCE:
            break
        if len(tried) > 1:
            (b0, k0), (b1, k1) = tried[-2:]
            slope = min(max(math.log(k1 / k0) / math.log(b1 / b0), 0.5), 2.5)
        beta = min(beta * (TARGET / tried[-1][1]) ** (1 / slope), MAX_BETA)
    return min(tried, key=lambda pair: abs(math.log(pair[1] / TARGET)))


def main(
    model: Annotated[Path, typer.Option(help="policy folder")],
    values: Annotated[Path, typer.Option(help="a value's folder or a folder of them")],
    prompts: Annotated[Path, typer.Option(help="held-out conversations, JSON lines")],
    count: int = 100,
) -> None:
    """Tune every objective and rewrite the folders' configs."""
    engine = build_engine(str(model), [str(values)], EngineConfig())
    conversations = read_prompts(prompts, count)
    for folder in value_folders(str(values)):
        config = ValueConfig.load(folder)
        tuned, measured = [], {}
        for objective in config.objectives:
            beta, kl = tune(engine, conversations, objective.name)
            tuned.append(dataclasses.replace(objective, recommended_beta=round(beta, 3)))
            measured[objective.name] = {
                "beta": round(beta, 3),
                "steering_nats_per_token": round(kl, 4),
                "prompts": count,
            }
        training = {**config.training, "recommended_beta": measured}
        dataclasses.replace(config, objectives=tuple(tuned), training=training).save(folder)


if __name__ == "__main__":
    typer.run(main)
