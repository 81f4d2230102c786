"""One picture of a training run: errors by epoch beside the trivial predictors, and calibration of the best epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def plot(history: Sequence[dict[str, Any]], best: int, folder: Path) -> None:
    """Write ``training.png`` and ``training.svg``: two panels per objective.

    Args:
        history: records of the log, at least one.
        best: the epoch whose weights are kept.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    names = list(history[0]["held_out"])
    figure = Figure(figsize=(3.4 * len(names), 6), layout="constrained")
    axes = figure.subplots(2, len(names), squeeze=False)
    epochs = [record["epoch"] for record in history]
    for column, name in enumerate(names):
        top, bottom = axes[0][column], axes[1][column]
        measured = [record["held_out"][name] for record in history]
        for key, label in (("mse", "value"), ("mse_constant", "constant"), ("mse_prompt_mean", "prompt's own mean")):
            top.plot(epochs, [m[key] for m in measured], marker="." if key == "mse" else None, label=label)
        top.axvline(best, color="grey", linewidth=0.5)
        top.set(title=name, xlabel="epoch", ylabel="held-out MSE, z-units" if column == 0 else None)
        x, y = zip(*measured[best - 1]["calibration"], strict=True)
        bottom.plot(x, y, marker="o")
        bottom.axline((0, 0), slope=1, color="grey", linewidth=0.5)
        bottom.set(xlabel="predicted", ylabel="mean target" if column == 0 else None)
        bottom.set_title(f"siblings ranked right: {measured[best - 1]['ranking']:.3f}", fontsize=9)
    axes[0][0].legend(fontsize=8)
    folder.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "training"}):  # the same history is the same picture, to the byte
        figure.savefig(folder / "training.png", dpi=120)
        figure.savefig(folder / "training.svg", metadata={"Date": None})
