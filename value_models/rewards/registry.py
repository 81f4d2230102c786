"""From what a run's YAML says of a reward to the reward: one that ships, a function, a classifier, a judge or words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
from value_models.rewards.template import Template

if TYPE_CHECKING:
    from mavis_core.model.policy import Policy

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
    """One reward of a run. One of ``function``, ``classifier``, ``judge`` and ``words``; none: it ships, by its name.

    Attributes:
        function: import path ``package.module:callable``.
        classifier: folder or hub id of a sequence classifier, with ``output``, ``reads`` and ``probability`` as in
            ``classifier.Classifier``, and ``template`` as in ``template.Template``.
        judge: an LLM behind a URL.
        words: an instruction, as the policy itself understands it.
        description: what people read; default: the reward's own.
    """

    function: str | None = None
    classifier: str | None = None
    judge: JudgeConfig | None = None
    words: str | None = None
    description: str = ""
    output: int | str | None = None
    reads: Literal["prompt+response", "response"] = "prompt+response"
    template: str | None = None
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


def build(
    configs: Mapping[str, RewardConfig], cache: Path, policy: Callable[[], Policy] | None = None
) -> list[Guarded]:
    """The rewards of a run, each guarded; judges keep their answers in ``cache``.

    Args:
        policy: gives the policy, always the same one, that rewards in words read with; None where there are none.

    Raises:
        RewardError: naming the reward.
    """
    reader: Any = None
    if policy is not None and any(config.words is not None for config in configs.values()):
        from value_models.rewards.words import Reader

        reader = Reader(policy)
    return [Guarded(_build(name, config, cache, reader), config.description) for name, config in configs.items()]


def _build(name: str, config: RewardConfig, cache: Path, reader: Any) -> Reward:
    given = [kind for kind in ("words", "function", "classifier", "judge") if getattr(config, kind) is not None]
    if len(given) > 1:
        raise RewardError(name, f"has {' and '.join(given)}: at most one of them")
    plain = RewardConfig()
    for setting in ("output", "reads", "template", "probability", "device"):
        if config.classifier is None and getattr(config, setting) != getattr(plain, setting):
            raise RewardError(name, f"{setting}: is a setting of classifiers, and this is none")
    if config.words is not None:
        return _in_words(name, config.words, reader)
    if config.function is not None:
        return Imported.load(name, config.description, config.function)
    if config.classifier is not None:
        template = None if config.template is None else Template.of(name, config.template, config.reads)
        from value_models.rewards.classifier import Classifier

        settings = {key: getattr(config, key) for key in ("output", "reads", "probability")}
        return Classifier.load(
            name, config.description, config.classifier, config.device, template=template, **settings
        )
    if config.judge is not None:
        from value_models.rewards.judge import Judge

        description = config.description or f"judged by {config.judge.model}"
        return Judge(name, description, cache=cache / f"{name}.sqlite", **asdict(config.judge))
    return load(name)


def _in_words(name: str, words: str, reader: Any) -> Reward:
    from value_models.rewards.words import Words

    if not words.strip():
        raise RewardError(name, f"words={words!r}: must say something")
    if reader is None:
        raise RewardError(name, "words: are the policy's to read; known to `mavis fit` and `mavis evaluate` only")
    return Words(name, words.strip(), words.strip(), reader)
