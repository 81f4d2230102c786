"""What ``mavis baseline`` does: trains one policy after the other, each resumable, and makes a MOD value of them.

Only the policies that were trained for a single reward become part of that value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mavis_core.api.errors import RunError
from mavis_core.model.policy import Policy, resolve_device
from value_models import durable
from value_models.baselines.config import BaselineConfig
from value_models.baselines.mix import write_mix
from value_models.baselines.policies import MIX, Trained, read_log
from value_models.identity import identify
from value_models.loading import SHIPPED_POLICY
from value_models.prompts import Prompt, file_hash, read_prompts
from value_models.rewards.identity import identities
from value_models.rewards.registry import build
from value_models.rollouts.shards import MANIFEST
from value_models.training import labels


def train_policies(config: BaselineConfig, progress: bool = True, say: Callable[[str], None] = print) -> None:
    """Train every policy of ``config`` that is not there already.

    Raises:
        RunError: a setting, a file or a prompt is wrong, or the folder belongs to other settings.
        RewardError: naming the reward.
    """
    try:
        from value_models.baselines.reinforce import reinforce
    except ImportError as error:
        raise RunError(f"{error}: training policies needs trl: install mavis-server[baselines]") from error
    folder = Path(config.folder)
    prompts = read_prompts(Path(config.prompts), config.count)
    rewards = build(config.rewards, folder / "judges")
    for reward in rewards:
        reward.try_out(prompts[0])
    constants = labels.read_constants(Path(config.constants), [reward.name for reward in rewards])
    policy = Policy.load(_path(config), resolve_device("auto"), torch.float32)
    _check_prompts(prompts, policy, config)
    about = {
        "policy": identify(policy).exact,
        "prompts": len(prompts),
        "rewards": identities(config.rewards, rewards),
        "constants": {"mean": constants.mean.tolist(), "std": constants.std.tolist()},
    }
    durable.write_or_match(folder / MANIFEST, about | _about_settings(config))
    trained = {name: Trained(folder / name, weights) for name, weights in config.policies.items()}
    for each in trained.values():
        durable.write_or_match(each.folder / MANIFEST, {"weights": each.weights})
    for name, each in trained.items():
        if config.train.steps in each.steps:
            say(f"{each.folder}: is there already")
            continue
        reinforce(_path(config), policy, prompts, rewards, constants, config, each, progress)
        last = read_log(each.folder)[-1]
        told = ", ".join(f"{reward} {z:+.2f}" for reward, z in last["rewards"].items())
        say(f"{each.folder}: {name} at step {last['step']}: {told}, {last['nats']:.1f} nats")
    described = {reward.name: reward.description for reward in rewards}
    write_mix(folder / MIX, list(trained.values()), config.train.steps, described, policy)


def _about_settings(config: BaselineConfig) -> dict[str, Any]:
    """The settings that must be the same where a run is resumed."""
    return {
        "prompts_hash": file_hash(Path(config.prompts)),
        "train": {key: value for key, value in asdict(config.train).items() if key != "steps"},
        **{key: getattr(config, key) for key in ("max_tokens", "top_k", "seed")},
    }


def _path(config: BaselineConfig) -> str:
    return config.policy or str(SHIPPED_POLICY)


def _check_prompts(prompts: Sequence[Prompt], policy: Policy, config: BaselineConfig) -> None:
    needed = config.train.batch // config.train.samples
    if len(prompts) < needed:
        raise RunError(f"{config.prompts}: has {len(prompts)} prompts; a step takes batch / samples = {needed}")
    if len({bool(prompt.messages) for prompt in prompts}) > 1:
        raise RunError("prompts: mix conversations and plain texts; a policy is trained on one of the two")
    assert policy.tokenizer is not None
    most = policy.max_model_len - config.max_tokens
    for number, prompt in enumerate(prompts):
        if not 1 <= (length := len(prompt.encode(policy.tokenizer))) <= most:
            limit = f"1 to {most} leave room for {config.max_tokens} more"
            raise RunError(f"prompt {number} ({prompt.text[:60]!r}) has {length} tokens: {limit}")
