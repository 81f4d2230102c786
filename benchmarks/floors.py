"""Floors and the worst case: exactly on token MDPs, and on the model that ships.

    python -m benchmarks.floors --out benchmarks/results/floors

On an MDP the base model's values are exact, every state's step is solved by ``solve`` and by the slow loop's own
method, and whole texts are evaluated by backward induction. On the model, rewards of sampled answers, z-scored as its
values are; the value of an objective is learned, so what a floor on it does to the reward is an outcome.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.machine import describe
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from mavis_core.reference_multipliers import Pull, ReferenceStep
from mavis_core.sample.multipliers import Problem, solve
from scripts.shipped.rollouts import OBJECTIVES, encode_chat, read_prompts, score
from scripts.theory.mdp import Mdp, Table, states
from scripts.theory.policy import letter
from scripts.theory.rewards import pair
from value_models.loading import SHIPPED_POLICY, build_engine

PROMPTS = Path(__file__).parent / "words" / "prompts.jsonl"
HORIZON, MOST, STRENGTH = 5, 64.0, 2.0
NO_FLOOR = -np.inf
STATES_COMPARED = 12  # per level and way: the slow method is slow


def token_mdp(seed: int) -> Mdp:
    """Of ``tests/scripts/test_theory.py``: random logits, 5 to 7 letters, two rewards that correlate by -0.6."""
    rng, vocab = np.random.default_rng(seed), 5 + seed % 3
    logits = [rng.normal(size=(len(level), vocab)) for level in states(HORIZON, vocab)]
    return Mdp.of(logits, lambda text: pair(seed, "".join(map(letter, text))))


def steps(
    mdp: Mdp, weights: Sequence[float], floor: float, relative: bool, worst: bool
) -> tuple[Table, float, float, float]:
    """The policy whose every step is solved on the base model's values, the floor being on the second objective.

    Returns:
        (log-probabilities, largest distance of a probability to the slow method's, share of states whose floor is
        missed, the most that E_p[V] lies below a floor that counts as met).
    """
    policy: Table = []
    missed: list[float] = []
    apart = short = 0.0
    for ref, values in zip(mdp.ref, mdp.evaluate(mdp.ref)[0], strict=True):
        problem = level(ref, values, weights, floor, relative, worst)
        solution = solve(problem, False)
        logprobs = (problem.reference + solution.tilt).log_softmax(1)
        expected = (logprobs.exp()[:, None] * problem.values).sum(2)
        below = torch.where(solution.missed, 0.0, problem.floors - expected)
        short, missed = max(short, float(below.max())), missed + solution.missed.any(1).tolist()
        for s in range(min(STATES_COMPARED, len(ref))):
            apart = max(apart, float((logprobs[s].exp() - slowly(problem, s)).abs().max()))
        policy.append(logprobs.numpy())
    return policy, apart, statistics.mean(missed), short


def level(
    ref: np.ndarray[Any, Any],
    values: np.ndarray[Any, Any],
    weights: Sequence[float],
    floor: float,
    relative: bool,
    worst: bool,
) -> Problem:
    """The steps of all states of a level: multipliers of the floor, then of the worst case of both objectives."""
    reference = torch.from_numpy(ref)
    both = torch.from_numpy(values).masked_fill(reference[:, :, None] == -torch.inf, 0.0)
    count = len(ref)
    found = torch.cat((both[:, :, 1:], both), dim=2).transpose(1, 2).contiguous()
    start = (reference.softmax(1) * found[:, 0]).sum(1)
    floors = torch.full((count, 3), -torch.inf, dtype=torch.float64)
    floors[:, 0] = floor + relative * start
    most = torch.zeros(count, 3, dtype=torch.float64)
    most[:, 0] = 0.0 if floor == NO_FLOOR else MOST
    shared = torch.tensor([False, worst, worst]).expand(count, 3)
    strength = torch.full((count,), STRENGTH * worst, dtype=torch.float64)
    limit = torch.full((count,), torch.inf, dtype=torch.float64)
    tilt = both @ torch.tensor(weights, dtype=torch.float64)
    return Problem(reference, tilt, found, floors, most, shared, strength, limit)


def slowly(problem: Problem, state: int) -> torch.Tensor:
    """p of one state by the slow method."""
    pulls = []
    kept = problem.reference[state] > -torch.inf
    for m in range(3):
        values = problem.values[state, m][kept].tolist()
        if problem.shared[state, m]:
            pulls.append(Pull(values, None, 0.0))
        elif problem.most[state, m] > 0:
            pulls.append(Pull(values, float(problem.floors[state, m]), MOST))
    reference, tilt = problem.reference[state][kept], problem.tilt[state][kept]
    step = ReferenceStep(reference.tolist(), tilt.tolist(), pulls, float(problem.strength[state]))
    p = torch.zeros_like(problem.reference[state])
    p[kept] = (reference + torch.tensor(step.solve(None), dtype=torch.float64)).softmax(0)
    return p


def exactly(seed: int) -> dict[str, Any]:
    """Whole-text rewards (a, b) and KL of each way on one MDP."""
    mdp = token_mdp(seed)
    base = float(mdp.outcome(mdp.ref)[0][1])
    ways: dict[str, tuple[Sequence[float], float, bool, bool]] = {
        "base": ((0.0, 0.0), NO_FLOOR, False, False),
        "a": ((STRENGTH, 0.0), NO_FLOOR, False, False),
        "a, floor on b at the base model's mean": ((STRENGTH, 0.0), base, False, False),
        "a, floor on b at 0 above the base model's step": ((STRENGTH, 0.0), 0.0, True, False),
        "equal weights": ((STRENGTH / 2, STRENGTH / 2), NO_FLOOR, False, False),
        "worst case": ((0.0, 0.0), NO_FLOOR, False, True),
    }
    found: dict[str, Any] = {"seed": seed, "ways": {}}
    for name, way in ways.items():
        policy, apart, missed, short = steps(mdp, *way)
        (a, b), nats = mdp.outcome(policy)
        found["ways"][name] = {
            "a": round(float(a), 4), "b": round(float(b), 4), "least": round(float(min(a, b)), 4),
            "b above the base model": round(float(b) - base, 4), "nats": round(nats, 4),
            "apart": apart, "missed": round(missed, 4), "short": short,
        }  # fmt: skip
    return found


ARMS: dict[str, Guidance] = {
    "base (k = 40)": Guidance({"cheerful": 1.0, "factual": 0.0}, max_kl_per_token=0.0),
    "cheerful 1": Guidance({"cheerful": 1.0, "factual": 0.0}),
    "cheerful 1, factual at least 0": Guidance({"cheerful": 1.0}, floors={"factual": 0.0}),
    "cheerful 1, factual at least 0, 0.5 nats": Guidance(
        {"cheerful": 1.0}, floors={"factual": 0.0}, max_kl_per_token=0.5
    ),
    "cheerful 1, factual not below the base model's step": Guidance(
        {"cheerful": 1.0}, floors={"factual": 0.0}, floors_relative=True
    ),
    "cheerful 0.5, factual 0.5": Guidance({"cheerful": 0.5, "factual": 0.5}),
    "worst case of cheerful and factual": Guidance(worst_case=("cheerful", "factual")),
    "both maximised, 0.1 nats": Guidance(maximise=("cheerful", "factual"), max_kl_per_token=0.1),
}


def sampled(engine: Engine, conversations: list[list[dict[str, str]]], guidance: Guidance, n: int) -> dict[str, Any]:
    """One arm: mean z-scored rewards with standard errors, KL, and what the solver found."""
    prompts = [encode_chat(engine, messages) for messages in conversations]
    samplings = [SamplingParams(n=n, max_tokens=60, seed=i) for i in range(len(prompts))]
    answers = [choice for choices in generate(engine, prompts, samplings, guidance) for choice in choices]
    asked = [messages for messages in conversations for _ in range(n)]
    rewards = score(asked, [answer.text for answer in answers])
    known = {objective.name: objective for objective in engine.info.objectives}
    found: dict[str, Any] = {}
    for name in ("cheerful", "factual"):
        z = (rewards[:, OBJECTIVES.index(name)] - known[name].reward_mean) / known[name].reward_std
        found[name], found[f"{name} ±"] = round(float(z.mean()), 3), round(float(z.std() / len(z) ** 0.5), 3)
    found["least"] = min(found["cheerful"], found["factual"])
    stats = [answer.guidance for answer in answers if answer.guidance is not None]
    tokens = sum(one.tokens for one in stats)
    found["tokens"] = tokens
    found["steering nats per token"] = round(sum(one.steering_nats for one in stats) / tokens, 3)
    missed = sum((one.floors_missed or {}).get("factual", 0) for one in stats)
    found["floor missed, share of tokens"] = round(missed / tokens, 3)
    if stats[0].found_weights is not None:
        weights = [(one.found_weights or {}, one.tokens) for one in stats]
        for name in ("cheerful", "factual"):
            found[f"found weight of {name}"] = round(sum(w.get(name, 0.0) * t for w, t in weights) / tokens, 2)
    return found


def table(rows: dict[str, dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = ["| | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    lines += [f"| {name} | " + " | ".join(str(row.get(c, "")) for c in columns) + " |" for name, row in rows.items()]
    return "\n".join(lines)


def averaged(seeds: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Means over MDPs, and the lowest of what must not be low."""
    ways = {}
    for name in seeds[0]["ways"]:
        each = [one["ways"][name] for one in seeds]
        means = {c: round(statistics.mean(w[c] for w in each), 3) for c in ("a", "b", "least", "nats", "missed")}
        lowest = min(w["b above the base model"] for w in each)
        ways[name] = {**means, "b above the base model, lowest": lowest}
    return ways


def main(
    out: Annotated[Path, typer.Option(help="folder to write to")] = Path("benchmarks/results/floors"),
    seeds: int = 5,
    count: Annotated[int, typer.Option(help="prompts; 0 leaves the model out")] = 100,
    n: Annotated[int, typer.Option(help="answers of each")] = 1,
) -> None:
    exact = [exactly(seed) for seed in range(seeds)]
    apart = max(way["apart"] for one in exact for way in one["ways"].values())
    short = max(way["short"] for one in exact for way in one["ways"].values())
    print(table(averaged(exact)), f"\nlargest distance to the slow method {apart:.1e}, below a floor {short:.1e}")
    arms: dict[str, dict[str, Any]] = {}
    if count:
        engine = build_engine(str(SHIPPED_POLICY), ["shipped:heads"], EngineConfig(max_num_seqs=32))
        conversations = read_prompts(PROMPTS, count)
        for name, guidance in ARMS.items():
            arms[name] = sampled(engine, conversations, guidance, n)
            print(name, arms[name], flush=True)
    out.mkdir(parents=True, exist_ok=True)
    report = {"machine": describe(), "prompts": count, "answers of each": n, "token MDPs": exact, "arms": arms}
    (out / "floors.json").write_text(json.dumps(report, indent=1) + "\n")
    parts = [
        "# Floors and the worst case\n\nBy `python -m benchmarks.floors`; all figures: [floors.json](floors.json).",
        f"## Exactly, means over {seeds} token MDPs\n\n{table(averaged(exact))}",
        f"Largest distance of a probability to the slow method's: {apart:.1e}; most that a floor counting"
        f" as met is short of: {short:.1e}.",
        f"## The model that ships, {count} prompts, {n} answers of each, z-units\n\n{table(arms)}",
    ]
    (out / "README.md").write_text("\n\n".join(parts) + "\n")
    if apart > 1e-4 or short > 1e-4:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
