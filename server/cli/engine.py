"""From settings to an engine, which loads once it is started, on a thread or in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mavis_core.api.config import EngineConfig
    from mavis_core.api.messages import ObjectiveInfo
    from mavis_core.engine import Engine
    from mavis_core.process.queue_client import QueueClient
    from mavis_core.search.scorer import SequenceScorer
    from server.protocol.presets import Preset
    from server.settings import Settings


def engine_client(settings: Settings, progress: Callable[[str, float], None]) -> QueueClient:
    """Raises ConfigError: a file or a reward that the settings name cannot be used."""
    from server.stored.presets import read_presets

    scorer = reward_scorer(settings.search_rewards)
    check = partial(check_steering, settings.objective_weights, read_presets(settings.presets), settings.presets)
    build = partial(load_engine, settings.model, settings.values, check, settings.engine)
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
    check: Callable[[Sequence[ObjectiveInfo]], None],
    config: EngineConfig,
    report: Callable[[str, float], None],
) -> Engine:
    """The engine, if ``check`` accepts the objectives of its values; runs where the engine will."""
    report("importing torch", 0.0)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # ours is enough
    from value_models.loading import build_engine

    return build_engine(model, values, config, report, check)


def check_steering(
    default: Mapping[str, float],
    presets: Mapping[str, Preset],
    presets_file: Path | None,
    objectives: Sequence[ObjectiveInfo],
) -> None:
    """That the values can serve the default weights and the presets of the file; raises ConfigError."""
    from mavis_core.api.errors import ConfigError, InvalidRequestError
    from server.stored.presets import check_presets
    from server.weights import check_weights

    try:
        check_weights(default, objectives)
    except InvalidRequestError as error:
        raise ConfigError(f"--objective-weights: {str(error).removeprefix('objective_weights: ')}") from None
    check_presets(presets, presets_file, objectives)
