"""What a reward's scores depend on, as manifests keep it, so that one folder never mixes scores of two versions.

Left out is what changes no score, and may therefore change from one shard to the next: where a judge runs, how many of
its requests are in flight, on which device a classifier reads.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from value_models.identity import identify
from value_models.prompts import file_hash
from value_models.rewards.registry import RewardConfig
from value_models.rewards.reward import Guarded

JUDGED_BY = ("model", "rubric", "low", "high")


def identities(configs: Mapping[str, RewardConfig], rewards: Sequence[Guarded]) -> dict[str, dict[str, Any]]:
    """Per reward what its scores depend on, as plain data.

    Args:
        rewards: built of ``configs``, in their order.
    """
    return {name: _identity(config, each) for (name, config), each in zip(configs.items(), rewards, strict=True)}


def _identity(config: RewardConfig, guarded: Guarded) -> dict[str, Any]:
    if config.words is not None:
        from value_models.rewards.words import Words

        assert isinstance(guarded.reward, Words)
        policy = identify(guarded.reward.reader.policy)
        read = {"words": config.words, "reads": "trees"}  # once it was texts, without ends and baseline
        return {**read, "fingerprint": policy.fingerprint, "tokenizer_hash": policy.tokenizer_hash}
    if config.function is not None:
        return {"function": config.function, "source": _source(config.function)}
    if config.judge is not None:
        judge = asdict(config.judge)
        return {"judge": {key: judge[key] for key in JUDGED_BY}}
    if config.classifier is not None:
        from value_models.rewards.classifier import Classifier  # brings transformers' models

        assert isinstance(guarded.reward, Classifier)
        settings: dict[str, Any] = {"output": config.output, "reads": config.reads, "probability": config.probability}
        if config.template is not None:  # labels of before there were templates go on
            settings |= {"template": config.template, "turns": "all"}  # once it was filled with the last one only
        return {"classifier": config.classifier, **settings, "weights": _weights(guarded.reward.model)}
    return {}


def _source(function: str) -> str | None:
    """Hash of the file that defines the module; None where there is no such file."""
    file = getattr(sys.modules[function.partition(":")[0]], "__file__", None)
    return file_hash(Path(file)) if file else None


def _weights(model: nn.Module) -> str:
    """Hash of a few numbers of every parameter: it tells versions of a model apart without reading all of it."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        some = weight.flatten()[:: max(1, weight.numel() // 64)][:64].float().cpu()
        digest.update(name.encode() + some.numpy().tobytes())
    return digest.hexdigest()[:16]
