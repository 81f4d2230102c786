"""The causal LMs that ``implicit`` and ``policy`` values are made of, in the value's folder or in one beside it.

``architecture`` in the value's config is ``{"tuned": [MODEL, ...], "untuned": MODEL, "policy" or "none"}``, without
``untuned`` for kind ``policy``. A MODEL is either a transformers config with its ``model_type``, and then its tensors
are in the value's own file as ``tuned.0.*``, ``tuned.1.*`` and ``untuned.*``; or it is ``{"path": "../name"}``, a
folder as transformers saves it. The path is relative to the value's folder and must stay within the folder that holds
both: a downloaded config must not be able to name any file of the machine.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from mavis_core.api.errors import LoadError
from mavis_core.model.policy import Policy
from value_models.identity import check_tokenizer
from value_models.tensors import check_finite, load_parts, read_tensors, save_parts
from value_models.value_config import CONFIG_FILE, WEIGHTS_FILE, ValueConfig

THE_POLICY = "policy"
NO_MODEL = "none"
"""What ``untuned`` may be beside a model."""

Spec = dict[str, Any]


def read_models(
    folder: Path, tuned: list[Spec], untuned: Spec | str, policy: Policy
) -> tuple[list[Policy], Policy | None]:
    """The models that an ``architecture`` names, for a policy of the same vocabulary; untuned where there is one.

    Raises:
        LoadError: naming what is wrong; ValueError, TypeError, KeyError, RuntimeError from transformers or torch.
    """
    specs = {f"tuned.{i}": spec for i, spec in enumerate(tuned)}
    if isinstance(untuned, dict):
        specs["untuned"] = untuned
    own = {name: _build(spec) for name, spec in specs.items() if "path" not in spec}
    if own or (folder / WEIGHTS_FILE).exists():
        load_parts(read_tensors(folder), own)
    models = {name: Policy(model.eval(), None, f"{folder.name}: {name}") for name, model in own.items()}
    for name, spec in specs.items():
        if name not in models:
            models[name] = _beside(folder, spec, policy)
    for model in models.values():  # before the engine measures what memory is left for KV
        model.model.to(device=policy.device, dtype=policy.dtype)
    found = policy if untuned == THE_POLICY else models.get("untuned")
    return [models[f"tuned.{i}"] for i in range(len(tuned))], found


def write_models(folder: Path, config: ValueConfig, tuned: list[nn.Module], untuned: nn.Module | str | None) -> None:
    """Write models into a folder of their own; ``config.architecture`` is made here.

    Args:
        untuned: a model, ``THE_POLICY`` or ``NO_MODEL``; None where the kind has no such key.
    """
    models = {f"tuned.{i}": model for i, model in enumerate(tuned)}
    architecture: dict[str, Any] = {"tuned": [describe_model(model) for model in tuned]}
    if isinstance(untuned, nn.Module):
        models["untuned"] = untuned
    if untuned is not None:
        architecture["untuned"] = untuned if isinstance(untuned, str) else describe_model(untuned)
    replace(config, architecture=architecture).save(folder)
    save_parts(folder, models)


def describe_model(model: Any) -> dict[str, Any]:
    """A model's transformers config as it stands in ``architecture``."""
    found: dict[str, Any] = model.config.to_diff_dict()
    return {key: value for key, value in found.items() if not isinstance(value, torch.dtype)}


def architecture(folder: Path, config: ValueConfig, *keys: str) -> tuple[list[Spec], Spec | str]:
    """The tuned models, and the untuned one or a word in its place; ``keys`` are those that the kind has.

    Raises:
        LoadError: naming the file and the key.
    """
    where = f"{folder / CONFIG_FILE}: architecture"
    if set(config.architecture) != set(keys):
        raise LoadError(
            f"{where}: kind {config.kind!r} has the keys {', '.join(keys)}, "
            f"got {', '.join(sorted(config.architecture)) or 'none'}"
        )
    tuned, untuned = config.architecture["tuned"], config.architecture.get("untuned", THE_POLICY)
    if not isinstance(tuned, list) or len(tuned) != len(config.objectives):
        raise LoadError(f"{where}: tuned: must be a list of one model per objective, {len(config.objectives)}")
    for name, spec in [*((f"tuned[{i}]", spec) for i, spec in enumerate(tuned)), ("untuned", untuned)]:
        words = (THE_POLICY, NO_MODEL) if name == "untuned" else ()
        if not isinstance(spec, dict) and spec not in words:
            also = "".join(f", {word!r}" for word in words)
            raise LoadError(f"{where}: {name}: must be a model's config or {{'path': ...}}{also}, got {spec!r}")
    return tuned, untuned


def folders_beside(folder: Path, config: ValueConfig) -> list[Path]:
    """Folders of models that lie beside the value's own."""
    models = [*config.architecture.get("tuned", []), config.architecture.get("untuned")]
    return [folder / model["path"] for model in models if isinstance(model, dict) and "path" in model]


def _build(spec: dict[str, Any]) -> Any:
    settings = dict(spec)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    # Building another dtype would change torch's default one, for every thread, while an engine may be running.
    return AutoModelForCausalLM.from_config(config, trust_remote_code=False, dtype=torch.float32)


def _beside(folder: Path, spec: dict[str, Any], policy: Policy) -> Policy:
    """A model folder beside the value's, of the policy's tokenizer."""
    path = spec["path"]
    if set(spec) != {"path"} or not isinstance(path, str):
        raise LoadError(f"{folder / CONFIG_FILE}: architecture: {spec!r}: a path stands alone and is text")
    around = folder.resolve().parent
    found = (folder / path).resolve()
    if Path(path).is_absolute() or not found.is_relative_to(around):
        raise LoadError(f"{folder / CONFIG_FILE}: path {path!r}: must be relative and inside {around}")
    model = Policy.load(str(found), torch.device("cpu"), torch.float32, f"{folder.name}: {path}")
    check_tokenizer(model, policy)
    check_finite(model.model.state_dict(), model.name)
    return model
