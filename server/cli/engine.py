"""From settings to an engine, which loads once it is started, on a thread or in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mavis_core.api.config import EngineConfig
    from mavis_core.engine import Engine
    from mavis_core.process.queue_client import QueueClient
    from mavis_core.search.scorer import SequenceScorer
    from server.cli.steering_checks import SteeringChecks
    from server.settings import Settings


def engine_client(settings: Settings, progress: Callable[[str, float], None]) -> QueueClient:
    """Raises ConfigError: a file or a reward that the settings name cannot be used."""
    from server.bounds.bounds_file import read_bounds
    from server.cli.steering_checks import SteeringChecks
    from server.objectives.declared import Declared
    from server.stored.presets import read_presets

    scorer = reward_scorer(settings.search_rewards)
    checks = SteeringChecks(
        settings.objective_weights,
        read_presets(settings.presets),
        settings.presets,
        Declared.read(settings.objectives, settings.model is None),
        settings.chat_template,
        read_bounds(settings.bounds),
        settings.bounds,
    )
    build = partial(load_engine, settings.model, settings.values, checks, settings.engine)
    if settings.engine_process:
        from mavis_core.process.engine_process import EngineProcess

        return EngineProcess(build, settings.engine, progress, scorer)
    from mavis_core.process.engine_thread import EngineThread

    return EngineThread(build, settings.engine, progress, scorer)


def reward_scorer(names: Sequence[str]) -> SequenceScorer | None:
    """What searches may choose by, beside values; raises ConfigError."""
    if not names:
        return None
    from value_models.rewards.scorer import RewardScorer

    return RewardScorer(names)


def load_engine(
    model: str | None,
    values: Sequence[str],
    checks: SteeringChecks,
    config: EngineConfig,
    report: Callable[[str, float], None],
) -> Engine:
    """The engine, if ``checks`` accept its objectives and its tokenizer; runs where the engine will."""
    report("importing torch", 0.0)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # ours is enough
    from value_models.loading import build_engine

    engine = build_engine(model, values, config, report, checks.of_objectives, frozenset(checks.declared.own))
    checks.of_template(engine.info.objectives, engine.tokenizer)
    return engine
