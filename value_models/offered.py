"""Values that ship for models of others: which of them a model is served with where nobody names any."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from mavis_core.model.policy import Policy
from value_models.folders import kind_of
from value_models.identity import differing, identify
from value_models.value_config import CONFIG_FILE, PolicyIdentity, ValueConfig

SHIPPED = Path(__file__).parent / "shipped"
OFFERED = {"shipped:smollm2": SHIPPED / "smollm2"}
"""Of SmolLM2-135M-Instruct."""


def values_in(root: Path) -> list[Path]:
    """``root`` if it is a value, else the values right in it."""
    if (root / CONFIG_FILE).is_file():
        return [root]
    return sorted(folder.parent for folder in root.glob(f"*/{CONFIG_FILE}"))


def offered(
    policy: Policy, taken: Collection[str] = (), places: Collection[Path] = tuple(OFFERED.values())
) -> list[Path]:
    """The values for ``policy``, whatever it is called and however its weights are rounded.

    Args:
        taken: objectives that somebody else scores; values of one of them are left out.
        places: folders of values.
    """
    ours: PolicyIdentity | None = None
    found = []
    for folder in (folder for place in places for folder in values_in(place)):
        config = ValueConfig.load(folder)
        if config.policy.vocab_size != policy.vocab_size or not {o.name for o in config.objectives}.isdisjoint(taken):
            continue
        ours = ours or identify(policy)  # takes a tenth of a second and is not needed for most models
        if not differing(config.policy, ours, kind_of(folder, config).reads_policy):
            found.append(folder)
    return found
