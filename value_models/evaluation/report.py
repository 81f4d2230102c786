"""The evaluation as a page: claims and what became of them first, then the figures that they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from value_models.evaluation.bootstrap import Bound, Interval
from value_models.evaluation.config import EvaluationConfig, Measure
from value_models.evaluation.findings import Findings, Matched, Verdict
from value_models.evaluation.points import BASE
from value_models.evaluation.table import Table

MEASURES: dict[Measure, str] = {"hypervolume": "hypervolume", "weighted_reward": "weighted reward"}
BOUNDS: dict[Bound, str] = {"exact": "", "at least": "≥ ", "at most": "≤ "}
UNSAID = "-"


def page(table: Table, findings: Findings, config: EvaluationConfig) -> str:
    """The whole page, Markdown."""
    parts = [
        f"# {' against '.join(config.axes)}",
        _setting(table, findings, config),
        "## Claims",
        _claims(findings.verdicts),
        "## At matched KL",
        _hypervolumes(findings.matched, config),
        "![Fronts](fronts.png)" if len(config.axes) == 2 else "",
        "## Reward against KL",
        "![Reward against KL](curves.png)",
        *(["## Regret", _regret(findings.matched, config)] if config.regret_to else []),
        *(["## More weight, more reward?", _monotone(findings)] if len(config.grid) > 1 else []),
        "## What it does to the text, and what it costs",
        _costs(table, config),
        "## How it was measured",
        _method(config),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _setting(table: Table, findings: Findings, config: EvaluationConfig) -> str:
    prompts = table.rewards.shape[1]
    said = [
        f"{len(table.arms)} ways of steering and the base model, {prompts} prompts, {config.samples} answers to each "
        f"at every point, {len(table.points)} points."
    ]
    if findings.correlation is not None:
        said.append(f"Under the base model the two rewards correlate by {findings.correlation:+.2f} over its answers.")
    return " ".join(said)


def _claims(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "None were stated beforehand; what follows is exploration."
    lines = []
    for verdict in verdicts:
        claim = verdict.claim
        told = f"`{claim.better}` has more {MEASURES[claim.measure]} than `{claim.than}` at {claim.nats:g} nats"
        if verdict.difference is None:
            why = "neither spends so much at its greatest strength"
        else:
            why = f"difference {_with_bounds(verdict.difference, '+')}"
        lines.append(f"- {told}: **{verdict.outcome}**; {why}.")
    return "\n".join(lines)


def _hypervolumes(matched: Sequence[Matched], config: EvaluationConfig) -> str:
    reference = ", ".join(f"{x:g}" for x in config.reference_point)
    about = (
        f"What each arm's points dominate above the reference point ({reference}), and the weighted reward, mean over "
        f"the arm's weights, both in z-units, at a steering KL per response that is the same for all. ≥: at some "
        "weight the arm spends less at its greatest strength and counts with what it has there. 95 % intervals in "
        "brackets. Fewer weights have less hypervolume: claims and regret are over those that both arms have."
    )
    rows = []
    for measure, name in MEASURES.items():
        for arm in dict.fromkeys(each.arm for each in matched):
            own = [each for each in matched if each.arm == arm]
            cells = [_with_bounds(each.measures[measure]) for each in own]
            rows.append([name, arm, own[0].shares, *cells])
    header = ["", "arm", "weights", *(f"{budget:g} nats" for budget in config.budgets)]
    return f"{about}\n\n{_table(header, rows)}"


def _regret(matched: Sequence[Matched], config: EvaluationConfig) -> str:
    about = (
        f"What the weighted reward of each arm lacks to that of `{config.regret_to}`, z-units; below 0 it has more. "
    )
    about += f"≤ and ≥ where one of the two spends less at its greatest strength, `{UNSAID}` where both do."
    arms = [arm for arm in dict.fromkeys(each.arm for each in matched) if arm != config.regret_to]
    rows = [
        [arm, *(_with_bounds(e.regret, "+") if e.regret else UNSAID for e in matched if e.arm == arm)] for arm in arms
    ]
    return f"{about}\n\n{_table(['arm', *(f'{budget:g} nats' for budget in config.budgets)], rows)}"


def _monotone(findings: Findings) -> str:
    about = (
        "From one weight to the next larger one, at the same strength: in how many steps the axis falls, and in how "
        "many of them beyond doubt (95 %)."
    )
    axes = list(findings.monotone[0].falling)
    rows = [
        [m.arm, m.strength, *(f"{m.falling[a]} of {m.steps}, {m.certainly[a]} beyond doubt" for a in axes)]
        for m in findings.monotone
    ]
    return f"{about}\n\n{_table(['arm', 'strength', *axes], rows)}"


def _costs(table: Table, config: EvaluationConfig) -> str:
    about = (
        "Means over all weights. Nats, tokens and seconds are per response; a search draws more tokens "
        "than its answer has; the seconds are those of a whole batch "
        "over its responses. Perplexity is the base model's. Distinct-2 falls with the amount of text."
    )
    names = list(config.rewards)
    header = [
        "arm",
        "strength",
        "steering nats",
        "truncation nats",
        "tokens",
        "drawn",
        "seconds",
        "perplexity",
        "distinct-2",
        *names,
    ]
    rows = []
    for arm in (BASE, *table.arms):
        for strength, own in table.strengths(arm).items():
            each = (table.steering, table.truncation, table.tokens, table.drawn)
            row = [arm, strength, *(f"{x[own].mean():.2f}" for x in each), f"{table.seconds[own].mean():.4f}"]
            row += [f"{np.mean([table.perplexity(i) for i in own]):.2f}", f"{table.distinct2[own].mean():.3f}"]
            rows.append([*row, *(f"{x:+z.3f}" for x in table.rewards[own].mean(axis=(0, 1)))])
    return f"{about}\n\n{_table(header, rows)}"


def _method(config: EvaluationConfig) -> str:
    source = (
        "this evaluation's base answers" if config.constants is None else "the rollouts that the values learned from"
    )
    return (
        f"All arms, the base model included: T = 1 over the {config.top_k} most likely tokens, at most "
        f"{config.max_tokens} tokens, a stop token never as the first, the same noise for the same prompt and sample "
        f"(searches have their own), rewards of the same strings. Rewards are in standard deviations of {source}. Arms "
        "are compared at equal steering KL: each weight's rewards are interpolated along its strengths, linear in the "
        "square root of the KL, beginning with the base model at 0 nats, without strengths that another one of the arm "
        "beats for less. Beyond the strongest they stay what they are: a budget is what may be spent, and this is the "
        "least that the arm can do within it. Steering KL is exact, summed over the tokens of a response; a search "
        "adds a bound on what choosing costs, which it may stay below; a trained policy is decoded over the base "
        "model's candidates like all arms, and only one that is told what to be draws from its own; truncation to "
        "them is paid by every arm and stands apart. "
        f"Intervals are the middle 95 % of {config.resamples} bootstrap resamples of prompts, the same ones for all "
        "arms. A claim holds, or does not, where the interval of the difference lies on one side of 0, be it only a "
        "bound of that side; else it is undecided, or cannot be said. Reference point, budgets and claims were on disk "
        "before anything was sampled and cannot be changed in this folder."
    )


def _with_bounds(figure: Interval, sign: str = "") -> str:
    return f"{BOUNDS[figure.bound]}{figure.estimate:{sign}z.3f} [{figure.low:{sign}z.3f}, {figure.high:{sign}z.3f}]"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
