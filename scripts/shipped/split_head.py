"""A head of several objectives as one folder for each, so that they can be loaded and combined one by one.

    python -m scripts.shipped.split_head --value FOLDER --out FOLDER

Every tensor's first dimension is the objective, and heads of equal size are stacked again when they are loaded. What
words taught gets the recommended beta of words, 1, and its own is multiplied into its values instead: in a request that
mixes both, the words would else be asked for more strongly, too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mavis_core.api.prompted import RECOMMENDED_BETA
from value_models.kinds.head import save_head
from value_models.kinds.head_network import HeadNetwork
from value_models.tensors import read_tensors
from value_models.value_config import ValueConfig


def main(
    value: Annotated[Path, typer.Option(help="of kind head")],
    out: Annotated[Path, typer.Option(help="gets a folder per objective")],
) -> None:
    config, tensors = ValueConfig.load(value), read_tensors(value)
    for m, objective in enumerate(config.objectives):
        network = HeadNetwork(1, **config.architecture)
        network.load_state_dict({name: tensor[m : m + 1] for name, tensor in tensors.items()})
        if objective.name in config.training.get("words", {}):
            network.state_out.data *= objective.recommended_beta
            network.state_out_bias.data *= objective.recommended_beta
            objective = replace(objective, recommended_beta=RECOMMENDED_BETA)
        own = replace(config, objectives=(objective,), training=of_objective(config.training, objective.name))
        save_head(out / objective.name, own, network)


def of_objective(training: dict[str, Any], name: str) -> dict[str, Any]:
    """Provenance with the figures of the other objectives left out."""
    found = dict(training)
    for key in ("held_out", "explained", "recommended_beta"):
        if key in found:  # what words taught has no beta that was tuned
            found[key] = {known: figures for known, figures in found[key].items() if known == name}
    return found


if __name__ == "__main__":
    typer.run(main)
