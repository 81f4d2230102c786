"""Does steering work: rewards, KL and text quality of the model that ships under one weight at a time.

    python -m benchmarks.steering --prompts prompts_test.jsonl --out benchmarks/results/steering

One sample per held-out prompt and arm, T = 1, k = 40 in every arm (the base included), default beta. Arms: base,
each objective at +1 and -1, and pairs at +1. Steering KL is what compares arms; truncation KL is what k = 40
costs every arm alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import matplotlib
import torch
import typer
from torch import Tensor

from benchmarks.machine import describe
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput
from scripts.shipped.rollouts import TOP_K, answer, read_prompts, score
from value_models.loading import SHIPPED_POLICY, build_engine
from value_models.rewards.registry import names

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def arms(objectives: Sequence[str]) -> dict[str, dict[str, float]]:
    """Arm -> weights."""
    found: dict[str, dict[str, float]] = {"base": {}}
    for name in objectives:
        found[f"+{name}"] = {name: 1.0}
        found[f"-{name}"] = {name: -1.0}
    for first, second in combinations(objectives, 2):
        found[f"+{first} +{second}"] = {first: 1.0, second: 1.0}
    return found


@torch.inference_mode()
def under_base(engine: Engine, prompt: Sequence[int], output: Sequence[int]) -> tuple[float, float]:
    """Sums over the output tokens, nats: -log ref of the token, and -log ref(top 40)."""
    policy = engine.policy
    text = torch.tensor([*prompt, *output], device=policy.device)
    states = policy.backbone.forward_plain(text)[len(prompt) - 1 : -1]
    logprobs = policy.logits(states).log_softmax(dim=1)
    own = logprobs.gather(1, text[len(prompt) :, None])
    mass = logprobs.topk(TOP_K, dim=1).values.logsumexp(dim=1)
    return -float(own.sum()), -float(mass.sum())


def distinct_2(texts: Sequence[str]) -> float:
    """Share of word bigrams, over all answers together, that are different ones."""
    bigrams = [pair for text in texts for pair in zip(text.split(), text.split()[1:], strict=False)]
    return len(set(bigrams)) / max(1, len(bigrams))


def summarise(
    engine: Engine, prompts: list[list[int]], found: list[CompletionOutput], rewards: Tensor
) -> dict[str, Any]:
    """One arm's row of the table."""
    texts = [completion.text for completion in found]
    base = torch.tensor([under_base(engine, p, c.token_ids) for p, c in zip(prompts, found, strict=True)])
    tokens = sum(len(completion.token_ids) for completion in found)
    steering = sum(c.guidance.steering_nats for c in found if c.guidance is not None)
    return {
        **{name: round(rewards[:, i].mean().item(), 4) for i, name in enumerate(names())},
        "words": round(sum(len(text.split()) for text in texts) / len(texts), 2),
        "ends_in_question": round(sum(text.rstrip().endswith("?") for text in texts) / len(texts), 4),
        "steering_nats_per_token": round(steering / tokens, 4),
        "steering_nats_per_answer": round(steering / len(found), 3),
        "truncation_nats_per_token": round(base[:, 1].sum().item() / tokens, 4),
        "perplexity_under_base": round(float((base[:, 0].sum() / tokens).exp()), 2),
        "distinct_2": round(distinct_2(texts), 4),
        "empty": round(sum(not text.strip() for text in texts) / len(texts), 4),
        "beta": found[0].guidance.beta if found[0].guidance is not None else None,
    }


def verdicts(table: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The claims of the issue that asked for this, each with its figures."""
    base = table["base"]
    claims = {
        "cheerful: mean VADER up by at least 0.25": (
            table["+cheerful"]["cheerful"] - base["cheerful"],
            table["+cheerful"]["cheerful"] - base["cheerful"] >= 0.25,
        ),
        "concise: mean words down by at least 30 %": (
            1 - table["+concise"]["words"] / base["words"],
            table["+concise"]["words"] <= 0.7 * base["words"],
        ),
        "curious: answers that end in a question at least doubled": (
            table["+curious"]["ends_in_question"] / base["ends_in_question"],
            table["+curious"]["ends_in_question"] >= 2 * base["ends_in_question"],
        ),
        "factual: mean up by at least 0.10": (
            table["+factual"]["factual"] - base["factual"],
            table["+factual"]["factual"] - base["factual"] >= 0.10,
        ),
    }
    for name in names():
        change = table[f"-{name}"][name] - base[name]
        claims[f"-{name} moves it the other way"] = (change, change < 0)
    for first, second in combinations(names(), 2):
        arm = table[f"+{first} +{second}"]
        changes = [arm[name] - base[name] for name in (first, second)]
        claims[f"+{first} +{second} moves both"] = (min(changes), min(changes) > 0)
    return {claim: {"figure": round(figure, 4), "holds": bool(holds)} for claim, (figure, holds) in claims.items()}


def plot(table: dict[str, dict[str, Any]], out: Path) -> None:
    """Reward against weight -1, 0, +1 for each objective alone, beside the answers' steering KL."""
    figure, axes = plt.subplots(1, len(names()), figsize=(3.2 * len(names()), 3), layout="constrained")
    for axis, name in zip(axes, names(), strict=True):
        rows = [table[f"-{name}"], table["base"], table[f"+{name}"]]
        axis.plot([-1, 0, 1], [row[name] for row in rows], marker="o")
        for weight, row in zip([-1, 0, 1], rows, strict=True):
            label = f"{row['steering_nats_per_token']:.2f}"
            axis.annotate(label, (weight, row[name]), textcoords="offset points", xytext=(4, 6))
        axis.set_title(name)
        axis.set_xlabel("weight")
        axis.set_xticks([-1, 0, 1])
        axis.margins(0.2)
    axes[0].set_ylabel("mean reward")
    figure.suptitle("label: steering KL, nats per token", fontsize=9)
    for suffix in ("png", "svg"):
        figure.savefig(out / f"steering.{suffix}", dpi=120)


def markdown(table: dict[str, dict[str, Any]], checked: dict[str, dict[str, Any]]) -> str:
    columns = list(table["base"])
    lines = ["| arm | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    lines += [f"| {arm} | " + " | ".join(str(row[column]) for column in columns) + " |" for arm, row in table.items()]
    lines += ["", "| claim | figure | holds |", "|---|---|---|"]
    lines += [f"| {claim} | {row['figure']} | {'yes' if row['holds'] else 'NO'} |" for claim, row in checked.items()]
    return "\n".join(lines) + "\n"


def main(
    prompts: Annotated[Path, typer.Option(help="held-out conversations, JSON lines")],
    out: Annotated[Path, typer.Option(help="folder for results.json, README.md and plots")],
    model: Annotated[Path, typer.Option(help="policy folder")] = SHIPPED_POLICY,
    values: Annotated[str, typer.Option(help="as mavis serve --values")] = "shipped:heads",
    count: int = 300,
    seed: int = 11,
) -> None:
    """Run every arm, write the table, the verdicts and the plot."""
    engine = build_engine(str(model), [values], EngineConfig())
    conversations = read_prompts(prompts, count)
    table, samples = {}, {}
    for arm, weights in arms(names()).items():
        encoded, found = answer(engine, conversations, Guidance(weights), seed=seed)
        texts = [completion.text for completion in found]
        table[arm] = summarise(engine, encoded, found, score(conversations, texts))
        samples[arm] = texts[:10]
        print(arm, json.dumps(table[arm]), flush=True)
    checked = verdicts(table)
    out.mkdir(parents=True, exist_ok=True)
    report = {
        "values": values,
        "prompts": count,
        "seed": seed,
        "machine": describe(),
        "table": table,
        "claims": checked,
    }
    (out / "results.json").write_text(json.dumps({**report, "first_ten_answers": samples}, indent=2) + "\n")
    title = f"# Steering with `{values}`\n\n{count} held-out prompts, one sample each, T = 1, k = 40, default beta.\n\n"
    (out / "README.md").write_text(title + markdown(table, checked) + "\n![rewards](steering.svg)\n")
    plot(table, out)
    print(json.dumps(checked, indent=2))


if __name__ == "__main__":
    typer.run(main)
