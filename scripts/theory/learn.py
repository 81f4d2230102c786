"""Values of a token MDP learned by the real thing, ``mavis fit``, and read back as tables of every text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mavis_core.model.policy import Policy
from scripts.theory.mdp import Mdp, Table, states
from scripts.theory.policy import letter, read_states, write_policy, write_prompts
from scripts.theory.rewards import pair
from value_models.folders import load_value
from value_models.kinds.conditioned_head import ConditionedHeadValue
from value_models.kinds.head import HeadValue
from value_models.kinds.head_network import unit_rms
from value_models.kinds.moments import MomentsNetwork
from value_models.training.iterate import runs
from value_models.training.run import Run
from value_models.training.run_config import RunConfig, load_config


@dataclass(frozen=True)
class Size:
    """One MDP and what is spent on it.

    Attributes:
        trees: per round. Of 16 leaves and not 64: leaves of one tree share their first tokens, where few texts say
            how much a steered policy will earn.
        epochs: most of one training.
    """

    vocab: int = 5
    horizon: int = 5
    trees: int = 3000
    epochs: int = 16
    width: int = 128


class World:
    """The MDP of one seed on disk and in memory.

    Args:
        folder: gets policy, prompts and runs; what is there is gone on with.
    """

    def __init__(self, folder: Path, seed: int, size: Size) -> None:
        self.folder, self.seed, self.size = folder, seed, size
        if not (folder / "prompts.jsonl").exists():
            write_policy(folder / "policy", size.vocab, size.horizon, seed)
            write_prompts(folder / "prompts.jsonl", size.trees)
        self.policy = Policy.load(str(folder / "policy"), torch.device("cpu"), torch.float32)
        texts = [torch.tensor(level).reshape(len(level), -1).long() for level in states(size.horizon, size.vocab)]
        read = [read_states(self.policy, level) for level in texts]
        self.hidden = [hidden for hidden, _ in read]
        self.mdp = Mdp.of([logits.double().numpy() for _, logits in read], self.reward)

    def reward(self, text: Sequence[int]) -> tuple[float, float]:
        return pair(self.seed, "".join(letter(token) for token in text))

    def fit(self, name: str, rewards: Sequence[str], iterate: dict[str, Any] | None, **train: Any) -> list[RunConfig]:
        """``mavis fit`` of a file that this writes; the runs it was made of."""
        size = self.size
        settings = {
            "folder": name,
            "prompts": "prompts.jsonl",
            "policy": "policy",
            "rewards": {
                reward: {"function": f"scripts.theory.rewards:seed_{self.seed}_{reward}"} for reward in rewards
            },
            "rollouts": {
                "shape": {"layers": 2, "root_children": 8, "max_tokens": size.horizon},
                "top_k": size.vocab,
                "shard_prompts": 500,
            },
            "engine": {"max_num_seqs": 128, "device": "cpu"},
            "train": {
                "kind": "head",
                "epochs": size.epochs,
                "patience": size.epochs,
                "batch_trees": 32,
                "learning_rate": 0.01,
                "weight_decay": 0.0,
                "width": size.width,
                "rank": size.vocab - 1,
                "beta_prompts": 0,
                **train,
            },
            **({"iterate": iterate} if iterate else {}),
            "seed": self.seed,
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        found = runs(load_config(path))
        for each in found:
            Run(each, progress=False, say=logging.info).fit()
        return found

    def values(self, folder: Path) -> Learned:
        value = load_value(folder, self.policy)
        assert isinstance(value, (HeadValue, ConditionedHeadValue))
        return Learned(self, value)


class Learned:
    """A value from its folder, as tables in the rewards' own units.

    Args:
        value: head of objectives that are the MDP's first ones.
    """

    def __init__(self, world: World, value: HeadValue | ConditionedHeadValue) -> None:
        self.world, self.value = world, value
        self.std = [objective.reward_std for objective in value.spec.objectives]
        embedding = unit_rms(world.policy.readout.weight)
        network = value.network
        self.table = network.read_tokens(embedding)

    @torch.inference_mode()
    def scores(self, tilt_weights: Sequence[float]) -> Table:
        """sum_m w_m V_m(s + a; w) - W(s + a; w), as the engine computes it, for weights in z-units."""
        w, found = torch.tensor(tilt_weights), []
        for hidden in self.world.hidden:
            table = self.table.expand(len(hidden), *self.table.shape)
            if isinstance(self.value, ConditionedHeadValue):
                out = self.value.network(hidden, w.expand(len(hidden), -1), table)
                found.append((out[:, :, :-1] @ w - out[:, :, -1]).double().numpy())
            else:
                found.append((self.value.network(hidden, table) @ w).double().numpy())
        return found

    @torch.inference_mode()
    def moments(self, shares: Sequence[float]) -> tuple[Table, Table]:
        """(mean, variance) of the weighted reward, as ``Mdp.moments`` knows them, for a value of kind ``moments``."""
        network, w = self.value.network, torch.tensor(self.tilt_weights(shares))
        assert isinstance(network, MomentsNetwork)
        means, variances = [], []
        for hidden in self.world.hidden:
            table = self.table.expand(len(hidden), *self.table.shape)
            mean, variance = network.along(hidden, w.expand(len(hidden), -1), table)
            means.append((mean @ w).double().numpy())
            variances.append(variance[:, :, 0].double().numpy())
        return means, variances

    def policy_at(self, shares: Sequence[float]) -> Callable[[float], Table]:
        """strength -> the policy that decoding samples from, weights being the strength times ``shares`` of rewards in
        their own units.
        """
        return lambda strength: self.world.mdp.tilted(
            self.scores(self.tilt_weights([strength * share for share in shares]))
        )

    def tilt_weights(self, rewards: Sequence[float]) -> list[float]:
        """Weights of rewards in their own units, as weights of z-scored ones."""
        return [w * std for w, std in zip(rewards, self.std, strict=True)]
