"""What ``mavis serve`` calls: from the names of a model and its values to an engine that runs, with progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.engine import Engine
from mavis_core.model.compilation import compile_beside, worthwhile
from mavis_core.model.dtype import resolve_dtype, rounds_weights
from mavis_core.model.host_memory import keep_freed_memory
from mavis_core.model.policy import Policy, resolve_device
from mavis_core.model.threads import set_threads
from mavis_core.process.engine_loop import LoadProgress
from mavis_core.values.protocol import ValueFunction
from value_models.folders import load_value, objectives_of, resolve
from value_models.kinds.own_lm import OwnLm
from value_models.kinds.registry import stacked
from value_models.offered import OFFERED, SHIPPED, offered, values_in
from value_models.value_config import CONFIG_FILE

log = logging.getLogger(__name__)
SHIPPED_POLICY = SHIPPED / "policy"
SHIPPED_NAME = "mavis-small"
SHIPPED_HEADS = SHIPPED / "heads"
SHIPPED_LM = SHIPPED / "lm"
NAMED = {"shipped:heads": SHIPPED_HEADS, "shipped:lm": SHIPPED_LM, **OFFERED}
NONE = "none"


def value_folders(path: str) -> list[Path]:
    """A value's folder, or every value in a folder of them, or one of those, ``folder#value``.

    ``shipped:heads`` and the other names of ``NAMED`` are ours.

    Raises:
        LoadError: there is no value at ``path``.
    """
    whole, sign, name = path.rpartition("#")
    if sign and not Path(path).is_dir():
        among = value_folders(whole)
        if name not in (folder.name for folder in among):
            known = ", ".join(folder.name for folder in among)
            raise LoadError(f"{path}: no value {name!r} in it; there are: {known}")
        return [folder for folder in among if folder.name == name]
    root = NAMED[path] if path in NAMED else resolve(path)
    if not (found := values_in(root)):
        raise LoadError(f"{path}: no {CONFIG_FILE} in it or in its sub-folders")
    return found


class FolderLoader:
    """Values for one policy from folders, while its engine runs; a ``ValueLoader``.

    Args:
        quantization: of the models of ``lm`` and ``q_lm`` values, as ``EngineConfig`` has it.
    """

    def __init__(self, policy: Policy, quantization: str | None = None) -> None:
        self._policy = policy
        self._quantization = quantization

    def load(self, source: str) -> list[ValueFunction]:
        return [self.load_folder(folder) for folder in value_folders(source)]

    def load_folder(self, folder: Path) -> ValueFunction:
        value = load_value(folder, self._policy)
        if self._quantization is not None and isinstance(value, OwnLm):
            value.quantize(self._quantization)
        return value

    def stack(self, values: Sequence[ValueFunction]) -> list[ValueFunction]:
        return stacked(values)


def load_policy(model: str, config: EngineConfig, name: str | None = None) -> Policy:
    """A policy on the device, in the dtype and with the quantization that ``config`` asks for, packed for a CPU.

    Raises:
        LoadError: naming the culprit.
    """
    device = resolve_device(config.device)
    if device.type == "cpu":
        keep_freed_memory()
    policy = Policy.load(model, device, resolve_dtype(config.dtype, device), name)
    if config.quantization is not None:
        policy.quantize(config.quantization)
    policy.pack(rounds_weights(config.dtype, device, model.endswith(".gguf")))
    return policy


def build_engine(
    model: str | None,
    values: Sequence[str],
    config: EngineConfig,
    progress: LoadProgress = lambda stage, fraction: None,
    check: Callable[[Sequence[ObjectiveInfo]], None] = lambda objectives: None,
    taken: Collection[str] = (),
) -> Engine:
    """Load a policy and values and build their engine.

    Args:
        model: local folder or hub id; None is the model that ships.
        values: folders, folders of folders, hub ids, or ``NAMED`` ones; see ``value_folders``. Where there are none,
            those that ship for the model are loaded, if any; ``none`` alone loads none.
        config: see ``EngineConfig``.
        progress: told the stage and the fraction done.
        check: given the objectives of the values before any of their tensors is read; may raise.
        taken: objectives that the operator has in words: values that nobody named leave them alone.

    Raises:
        LoadError: naming the culprit.
    """
    name = model
    if model is None:
        name, model, values = SHIPPED_NAME, str(SHIPPED_POLICY), list(values) or ["shipped:heads"]
    progress("reading the configs of the values", 0.02)
    folders = [folder for path in values if path != NONE for folder in value_folders(path)]
    if values:
        check(_objectives_in(folders))
    progress(f"loading the policy {name}", 0.05)
    policy = load_policy(model, config, name)
    if not values:
        folders = offered(policy, taken)
        check(_objectives_in(folders))
    return assemble(policy, folders, config, progress)


def _objectives_in(folders: Sequence[Path]) -> list[ObjectiveInfo]:
    return [objective for folder in folders for objective in objectives_of(folder)]


def assemble(
    policy: Policy,
    folders: Sequence[Path],
    config: EngineConfig,
    progress: LoadProgress = lambda stage, fraction: None,
) -> Engine:
    """The engine of a policy that is loaded, with values that are not.

    Raises:
        LoadError: naming the culprit.
    """
    loader = FolderLoader(policy, config.quantization)
    if policy.device.type == "cpu":
        log.info("%d threads in a step", set_threads(config.threads, policy.model))
    loaded = []
    for i, folder in enumerate(folders):
        progress(f"loading value {folder.name}", 0.4 + 0.4 * i / len(folders))
        loaded.append(loader.load_folder(folder))
    progress("setting up the engine", 0.85)
    engine = Engine(policy, loaded, config, loader)
    if config.compile == "auto" and worthwhile(policy.backbone):
        compile_beside(policy.backbone)
    progress("ready", 1.0)
    return engine
