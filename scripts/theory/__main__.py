"""``python -m scripts.theory --out benchmarks/results/theory.json``: claim A on several MDPs, exact and learned.

Each seed is a policy, two rewards that correlate by -0.6, and three runs of ``mavis fit``: joint rounds on both
rewards, mean and covariance of both, and independent rounds on the first alone, for which they climb to the optimum. A
run that was stopped goes on. ``--without-rounds`` learns what takes no rounds: the mean alone, and with the covariance.
``--exact`` leaves learning out.
"""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.machine import describe
from scripts.theory.claims import (
    EQUAL,
    MOST,
    NATS,
    independent,
    iterations,
    joint,
    moments,
    shares_of_optimum,
    tilted_by_moments,
)
from scripts.theory.learn import Size, World
from scripts.theory.mdp import Mdp, share
from value_models.kinds.moments import MOMENTS

ROUNDS = 2
BETA = 5.0
STRENGTH = 4.0
ALONE_BETA = 1.5
BENDS = (1.5, 2.0, 3.0, 4.0, 1000.0)
"""Of the covariance's term; the last is none."""


def main(
    out: Annotated[Path, typer.Option(help="JSON file of the figures")],
    folder: Annotated[Path | None, typer.Option(help="of the runs; default: a temporary one")] = None,
    seeds: int = 5,
    trees: Annotated[int, typer.Option(help="per round")] = Size.trees,
    epochs: int = Size.epochs,
    without_rounds: Annotated[bool, typer.Option("--without-rounds", help="learn only what takes none")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="learn nothing")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as scratch:
        runs, size = folder or Path(scratch), Size(trees=trees, epochs=epochs)
        found = []
        for seed in range(seeds):
            world = World(runs / f"seed-{seed}", seed, size)
            found.append({"seed": seed, **known(world.mdp), **({} if exact else learned(world, not without_rounds))})
            betas = {"beta": BETA, "alone_beta": ALONE_BETA}
            spent = {"vocab": size.vocab, "horizon": size.horizon} if exact else {**asdict(size), **betas}
            report = {"machine": describe(), "size": spent, "nats": NATS, "seeds": found}
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(report, indent=1) + "\n")
            print(table(found), flush=True)


def known(mdp: Mdp) -> dict[str, Any]:
    tilt_weights = [STRENGTH * share for share in EQUAL]
    future, best = iterations(mdp, tilt_weights, 8)
    ways = {f"joint, {j} rounds": joint(mdp, EQUAL, j) for j in range(ROUNDS + 1)}
    ways["moments"] = moments(mdp, EQUAL)
    ways["independent, converged (MOD with perfect experts)"] = independent(mdp, EQUAL)
    return {
        "optimum": best,
        "future": future,
        "path": iterations(mdp, tilt_weights, 8, path=True)[0],
        "exact": {name: shares_of_optimum(mdp, policy, EQUAL) for name, policy in ways.items()},
    }


def learned(world: World, rounds: bool) -> dict[str, Any]:
    """Shares of the optimum of each learned value, and how its training went."""
    joint_rounds = {"kind": "joint", "rounds": ROUNDS, "beta": BETA}
    made = world.fit("joint", ["a", "b"], joint_rounds) if rounds else world.fit("mean", ["a", "b"], None)
    folders = {f"round {number}": Path(run.folder) for number, run in enumerate(made)}
    (run,) = world.fit("moments", ["a", "b"], None, kind=MOMENTS.name)
    folders["moments"] = Path(run.folder)
    found = {}
    for name, folder in folders.items():
        value = world.values(folder / "value")
        most = MOST if name in ("round 0", "moments") else BETA / max(value.tilt_weights(EQUAL))
        found[name] = shares_of_optimum(world.mdp, value.policy_at(EQUAL), EQUAL, most)
    told = {name: json.loads((folder / "report.json").read_text()) for name, folder in folders.items()}
    more = learned_alone(world) if rounds else {}
    return {"learned": found, "reports": told, "moments": parts(world, folders["moments"]), **more}


def parts(world: World, folder: Path) -> dict[str, list[float | None]]:
    """Shares of the optimum by exact and learned moments mixed, and by where their term bends."""
    mdp, (mean, variance) = world.mdp, world.mdp.moments(EQUAL)
    own_mean, own_variance = world.values(folder / "value").moments(EQUAL)
    ways = {
        "learned mean, exact covariance": tilted_by_moments(mdp, own_mean, variance),
        "exact mean, learned covariance": tilted_by_moments(mdp, mean, own_variance),
        **{f"exact, c = {c:g}": tilted_by_moments(mdp, mean, variance, c) for c in BENDS},
        **{f"learned, c = {c:g}": tilted_by_moments(mdp, own_mean, own_variance, c) for c in BENDS},
    }
    return {name: shares_of_optimum(mdp, policy_at, EQUAL) for name, policy_at in ways.items()}


def learned_alone(world: World) -> dict[str, Any]:
    """[share of the optimum, nats] of each round's value of the first reward, at the strength it was made for."""
    found = {}
    runs = world.fit("alone", ["a"], {"kind": "independent", "rounds": ROUNDS, "beta": ALONE_BETA})
    for number, run in enumerate(runs):
        value = world.values(Path(run.folder) / "value")
        found[f"round {number}"] = share(world.mdp, world.mdp.tilted(value.scores([ALONE_BETA])), (1.0, 0.0))
    return {"alone": found}


def table(seeds: list[dict[str, Any]]) -> str:
    """Markdown: means over the seeds that have learned (or all, exactly), the lowest in brackets.

    "not reached": of some seed no strength that may be asked for spends so much.
    """
    head = "| share of the optimum's gain at | " + " | ".join(f"{nats:g} nats" for nats in NATS) + " |"
    lines = [head, "|---" * (len(NATS) + 1) + "|"]
    for kind in ("exact", "learned", "moments"):
        for name in seeds[0].get(kind, {}):
            cells = []
            for column in range(len(NATS)):
                own = [seed[kind][name][column] for seed in seeds if kind in seed]
                missing = any(share is None for share in own)
                cells.append("not reached" if missing else f"{np.mean(own):.3f} ({min(own):.3f})")
            lines.append(f"| {kind}: {name} | " + " | ".join(cells) + " |")
    for name in seeds[0].get("alone", {}):
        shares, nats = np.array([seed["alone"][name] for seed in seeds]).T
        lines.append(
            f"| learned, one reward: {name} | {shares.mean():.3f} ({shares.min():.3f}) at {nats.mean():.2f} nats |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
