"""The rewards known by name."""

from __future__ import annotations

from collections.abc import Callable

from value_models.rewards.cheerful import Cheerful
from value_models.rewards.concise import Concise
from value_models.rewards.curious import Curious
from value_models.rewards.factual import Factual
from value_models.rewards.reward import Reward

_REWARDS: dict[str, Callable[[], Reward]] = {
    "cheerful": Cheerful,
    "concise": Concise,
    "curious": Curious,
    "factual": Factual,
}


def names() -> list[str]:
    return list(_REWARDS)


def load(name: str) -> Reward:
    if name not in _REWARDS:
        raise ValueError(f"reward {name!r}: must be one of {', '.join(_REWARDS)}")
    return _REWARDS[name]()
