"""From what a run's YAML says of a reward to the reward: one that ships, a function, a classifier or a judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from mavis_core.api.errors import RewardError, RunError
from value_models.rewards.cheerful import Cheerful
from value_models.rewards.concise import Concise
from value_models.rewards.curious import Curious
from value_models.rewards.factual import Factual
from value_models.rewards.imported import Imported
from value_models.rewards.manners.cautious import Cautious
from value_models.rewards.manners.empathetic import Empathetic
from value_models.rewards.manners.formal import Formal
from value_models.rewards.manners.playful import Playful
from value_models.rewards.manners.simple import Simple
from value_models.rewards.manners.structured import Structured
from value_models.rewards.manners.vivid import Vivid
from value_models.rewards.reward import Guarded, Reward

_REWARDS: dict[str, Callable[[], Reward]] = {
    "cheerful": Cheerful,
    "concise": Concise,
    "curious": Curious,
    "factual": Factual,
    "formal": Formal,
    "simple": Simple,
    "vivid": Vivid,
    "cautious": Cautious,
    "playful": Playful,
    "empathetic": Empathetic,
    "structured": Structured,
}


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """See ``judge.Judge``; the API key is read from the environment, never from a file."""

    url: str
    model: str
    rubric: str
    low: float = 0.0
    high: float = 10.0
    api_key_variable: str | None = None
    concurrency: int = 8
    timeout: float = 60.0
    retries: int = 4

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise RunError(f"judge.low={self.low:g}: must be below high={self.high:g}")
        if self.concurrency < 1 or self.retries < 0 or not self.timeout > 0:
            raise RunError("judge: concurrency must be at least 1, retries at least 0, timeout above 0")


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """One reward of a run. One of ``function``, ``classifier`` and ``judge``; none is a reward that ships, by its name.

    Attributes:
        function: import path ``package.module:callable``.
        classifier: folder or hub id of a sequence classifier, with ``output``, ``reads`` and ``probability`` as in
            ``classifier.Classifier``.
        judge: an LLM behind a URL.
        description: what people read; default: the reward's own.
    """

    function: str | None = None
    classifier: str | None = None
    judge: JudgeConfig | None = None
    description: str = ""
    output: int | str | None = None
    reads: Literal["prompt+response", "response"] = "prompt+response"
    probability: bool = False
    device: str = "cpu"


def names() -> list[str]:
    """Of the rewards that ship."""
    return list(_REWARDS)


def load(name: str) -> Reward:
    """A reward that ships.

    Raises:
        RewardError: there is none of this name.
    """
    if name not in _REWARDS:
        raise RewardError(name, f"must be one of {', '.join(_REWARDS)}, or say how it is computed")
    return _REWARDS[name]()


def build(configs: Mapping[str, RewardConfig], cache: Path) -> list[Guarded]:
    """The rewards of a run, each guarded; judges keep their answers in ``cache``.

    Raises:
        RewardError: naming the reward.
    """
    return [Guarded(_build(name, config, cache), config.description) for name, config in configs.items()]


def _build(name: str, config: RewardConfig, cache: Path) -> Reward:
    given = [kind for kind in ("function", "classifier", "judge") if getattr(config, kind) is not None]
    if len(given) > 1:
        raise RewardError(name, f"has {' and '.join(given)}: at most one of them")
    plain = RewardConfig()
    for setting in ("output", "reads", "probability", "device"):
        if config.classifier is None and getattr(config, setting) != getattr(plain, setting):
            raise RewardError(name, f"{setting}: is a setting of classifiers, and this is none")
    if config.function is not None:
        return Imported.load(name, config.description, config.function)
    if config.classifier is not None:
        from value_models.rewards.classifier import Classifier

        settings = {"output": config.output, "reads": config.reads, "probability": config.probability}
        return Classifier.load(name, config.description, config.classifier, config.device, **settings)
    if config.judge is not None:
        from value_models.rewards.judge import Judge

        description = config.description or f"judged by {config.judge.model}"
        return Judge(name, description, cache=cache / f"{name}.sqlite", **asdict(config.judge))
    return load(name)
