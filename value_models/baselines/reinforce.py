"""One policy by RL: TRL's RLOO trainer on our prompts, rewards and sampling.

RLOO (arXiv 2402.14740) and not GRPO: its objective is E[sum_m lambda_m z_m] - kl * KL(pi || base), summed over a
response, which is what MORLHF is. GRPO divides by the group's standard deviation, so that prompts count unequally,
and puts a per-token estimate of the KL into the loss, so that the price of a nat depends on how long responses are.

What is trained differs from what samples in one point. Responses are drawn from the k most likely tokens, and never
begin with a stop token; the log-probabilities in the loss are those of the whole vocabulary, as everywhere in TRL.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tqdm import tqdm
from transformers import AutoModelForCausalLM, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import RLOOConfig, RLOOTrainer

from mavis_core.model.policy import Policy
from value_models import durable
from value_models.baselines.config import BaselineConfig
from value_models.baselines.policies import LOG, Trained
from value_models.prompts import Prompt
from value_models.rewards.normalisation import Normalisation
from value_models.rewards.reward import Guarded

STATE = "trainer_state.json"
TRAINERS_OWN = ("optimizer", "scheduler", "scaler", "rng_state", "trainer_state", "training_args")


def reinforce(
    path: str,
    policy: Policy,
    prompts: Sequence[Prompt],
    rewards: Sequence[Guarded],
    constants: Normalisation,
    config: BaselineConfig,
    trained: Trained,
    progress: bool = True,
) -> None:
    """Train a policy up to its last checkpoint, going on from the last one that is whole.

    Args:
        path: of the base model.
        policy: the base model as it is served; only read.

    Raises:
        RewardError: naming the reward.
    """
    resumed = _whole_checkpoint(trained)
    trainer = RLOOTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        ),
        reward_funcs=[_reward(i, rewards, constants, prompts, policy) for i in range(len(rewards))],
        args=_arguments(config, trained, [reward.name for reward in rewards], policy.device),
        train_dataset=_dataset(prompts, policy, config),
        processing_class=policy.tokenizer,
        callbacks=[_Watch(trained, [reward.name for reward in rewards], config.train.steps, progress)],
    )
    for loud in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(loud)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between TRL and transformers; nothing a user can do about
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)


def _arguments(config: BaselineConfig, trained: Trained, names: Sequence[str], device: torch.device) -> RLOOConfig:
    train = config.train
    rows = train.rows or train.batch
    return RLOOConfig(
        output_dir=str(trained.folder / "trainer"),
        max_steps=train.steps,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=train.batch // rows,
        num_generations=train.samples,
        max_completion_length=config.max_tokens,
        temperature=1.0,
        top_k=config.top_k,
        top_p=1.0,
        generation_kwargs={"min_new_tokens": 1},
        reward_weights=[trained.weights.get(name, 0.0) for name in names],
        beta=train.kl,
        learning_rate=train.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=train.warmup,
        bf16=train.precision == "bf16",
        fp16=train.precision == "fp16",
        gradient_checkpointing=False,
        disable_dropout=True,
        shuffle_dataset=False,
        save_steps=train.every,
        save_total_limit=1,
        logging_steps=1,
        seed=config.seed,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type != "cpu",
        report_to="none",
    )


def _dataset(prompts: Sequence[Prompt], policy: Policy, config: BaselineConfig) -> Dataset:
    """Prompts in the order of steps: those of one step are about equally long, so that little of it is padding."""
    lengths = np.array([len(prompt.encode(policy.tokenizer)) for prompt in prompts])  # type: ignore[arg-type]
    rng = np.random.default_rng(config.seed)
    order = rng.permutation(len(prompts))
    order = order[np.argsort(lengths[order], kind="stable")]
    size = config.train.batch // config.train.samples
    steps = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    numbers = [int(n) for i in rng.permutation(len(steps)) for n in steps[i]]
    return Dataset.from_list([{"prompt": _rendered(prompts[n]), "number": n} for n in numbers])


def _rendered(prompt: Prompt) -> Any:
    """As TRL wants it: it applies the tokenizer's chat template itself, as ``Prompt.encode`` does."""
    return list(prompt.messages) or prompt.text


def _reward(
    index: int, rewards: Sequence[Guarded], constants: Normalisation, prompts: Sequence[Prompt], policy: Policy
) -> Callable[..., list[float]]:
    """Reward ``index`` in z-units, of the strings that labels and evaluations score."""
    stops = set(policy.stop_token_ids)
    mean, std = float(constants.mean[index]), float(constants.std[index])

    def score(completion_ids: Sequence[Sequence[int]], number: Sequence[int], **others: Any) -> list[float]:
        seen = [ids[:-1] if ids and ids[-1] in stops else ids for ids in completion_ids]
        texts = [policy.tokenizer.decode(ids, skip_special_tokens=True) for ids in seen]  # type: ignore[union-attr]
        found = rewards[index].score([prompts[i] for i in number], texts)
        return [(score - mean) / std for score in found]

    score.__name__ = rewards[index].name
    return score


class _Watch(TrainerCallback):
    """Publishes checkpoints, keeps the log and a bar."""

    def __init__(self, trained: Trained, names: Sequence[str], steps: int, progress: bool) -> None:
        self._trained, self._names = trained, names
        self._bar = tqdm(total=steps, unit="step", desc=trained.folder.name, disable=not progress)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The whole log anew, from what a checkpoint keeps: a resumed run has every step once."""
        lines = [_line(entry, self._names) for entry in state.log_history if "reward" in entry]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        durable.replace(self._trained.folder / LOG, lambda part: part.write_text(text, encoding="utf-8"))
        if lines:
            self._bar.set_postfix(reward=f"{lines[-1]['reward']:+.2f}", nats=f"{lines[-1]['nats']:.2f}")

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        publish(Path(args.output_dir) / f"checkpoint-{state.global_step}", self._trained)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self._bar.close()


def _line(entry: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """``nats`` is per response, by one sample and over the full softmax; evaluations measure it exactly."""
    return {
        "step": entry["step"],
        "reward": entry["reward"],
        "rewards": {name: entry[f"rewards/{name}/mean"] for name in names},
        "nats": entry.get("kl", 0.0) * entry["completions/mean_length"],
        "entropy": entry["entropy"],
        "tokens": entry["completions/mean_length"],
        "cut": entry["completions/clipped_ratio"],
        "gradient": entry["grad_norm"],
        "seconds": entry["step_time"],
    }


def publish(checkpoint: Path, trained: Trained) -> None:
    """The model of a trainer's checkpoint as a folder of its own, whole or absent."""
    target = trained.checkpoint(int(checkpoint.name.removeprefix("checkpoint-")))
    if target.exists():
        return
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for file in checkpoint.iterdir():
        if file.is_file() and not file.name.startswith(TRAINERS_OWN):
            shutil.copyfile(file, unfinished / file.name)
    os.replace(unfinished, target)


def _whole_checkpoint(trained: Trained) -> Path | None:
    """The trainer's last checkpoint that was written to its end, published; others are removed."""
    found = sorted(trained.folder.glob("trainer/checkpoint-*"), key=lambda path: int(path.name.split("-")[-1]))
    for path in found:
        if not _whole(path / STATE):
            shutil.rmtree(path)
    whole = [path for path in found if path.exists()]
    for path in whole:
        publish(path, trained)
    return whole[-1] if whole else None


def _whole(state: Path) -> bool:
    """The trainer writes it last."""
    try:
        json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
