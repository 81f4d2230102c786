"""The training loop: packed trees in, the weights of the best epoch out.

A loop of our own over accelerate, not transformers' Trainer: batches are trees and not rows, the loss has targets of
ragged shape, and early stopping looks at held-out trees, so that most of what the Trainer brings would be switched
off. Accelerate keeps the device, mixed precision and several processes.

After every epoch all that is needed to go on is on disk; the order of trees is a function of seed and epoch, so a run
that was killed ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mavis_core.api.errors import RunError
from value_models import durable
from value_models.progress import progress_bar
from value_models.rewards.normalisation import Array
from value_models.rollouts.packing import Batch, collate
from value_models.training.data import LabelledTrees, TrainingData
from value_models.training.measures import Measures, measure
from value_models.training.train_config import TrainConfig

CHECKPOINT = "checkpoint.pt"
LOWEST_RATE = 0.02
SMALLEST_VARIANCE = 1e-12


@dataclass(slots=True)
class TrainingState:
    """Where a training run stands.

    Attributes:
        epoch: epochs that are done.
        best: the epoch (from 1) with the lowest held-out error, summed over objectives in their units; its weights are
            ``weights``. The error is that at node ends, or of all that is taught where that has no noise.
        history: one record per epoch, as in the log.
    """

    epoch: int = 0
    best: int = 0
    lowest: float = float("inf")
    weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def stale(self, patience: int) -> bool:
        return self.epoch - self.best >= patience


def train(
    trainee: nn.Module,
    data: TrainingData,
    names: Sequence[str],
    config: TrainConfig,
    seed: int,
    folder: Path,
    device: torch.device,
    progress: bool = True,
    units: Sequence[float] | None = None,
    noiseless: bool = False,
) -> TrainingState:
    """Train ``trainee``, which ends with the weights of its best epoch; log and checkpoint go to ``folder``.

    Args:
        trainee: of a ``Batch`` gives (A, M) predictions; what requires no gradient stays as it is.
        names: of the M objectives.
        folder: a checkpoint in it is resumed.
        units: (M,) what an objective's error is divided by, in the loss and in the choice of the epoch; None is 1 each.
        noiseless: targets are what a teacher says, at every token and candidate, rather than a reward to come.

    Raises:
        RunError: the loss is not finite.
    """
    from accelerate import Accelerator

    accelerator = Accelerator(mixed_precision=config.precision, cpu=device.type == "cpu")
    per_epoch = -(-len(data.train.trees) // (config.batch_trees * accelerator.num_processes))
    optimisation = _Optimisation(trainee, config, per_epoch * config.epochs)
    unit = torch.tensor(units or [1.0] * len(names), device=accelerator.device)
    state = optimisation.resume(folder / CHECKPOINT)
    module, prepared = accelerator.prepare(trainee, optimisation.optimizer)
    each = per_epoch + -(-len(data.held_out.trees) // config.batch_trees)  # an epoch ends with being measured
    with progress_bar(each * config.epochs, "batches", "train", progress, each * state.epoch) as bar:
        while state.epoch < config.epochs and not (state.epoch and state.stale(config.patience)):
            losses = []
            for chosen in _batches(data.train, config, seed, state.epoch, accelerator):
                batch = collate([data.train.trees[i] for i in chosen], config.loss_at == "token", accelerator.device)
                losses.append(_step(accelerator, module.train(), prepared, batch, unit, config.clip))
                optimisation.schedule.step()
                bar.update()
            measured = evaluate(accelerator.unwrap_model(module), data, config, accelerator.device, bar.update)
            shares = missed(accelerator.unwrap_model(module), data, config, accelerator.device) if noiseless else None
            optimisation.record(state, names, measured, unit.tolist(), float(np.mean(losses)), shares)
            bar.set_postfix(held_out=f"{sum(m.mse for m in measured) / len(measured):.4f}", best=state.best)
            if accelerator.is_main_process:
                optimisation.save(folder, state)
    optimisation.load(state.weights)
    return state


class _Optimisation:
    """The steps of a training run: the parameters that they change, the optimiser and its learning rate."""

    def __init__(self, trainee: nn.Module, config: TrainConfig, count: int) -> None:
        self.count = count
        self.parameters = {name: p for name, p in trainee.named_parameters() if p.requires_grad}
        self.optimizer: Any = torch.optim.AdamW(
            self.parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate(count, config.warmup))

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        for name, p in self.parameters.items():
            p.copy_(weights[name])

    def record(
        self,
        state: TrainingState,
        names: Sequence[str],
        measured: Sequence[Measures],
        units: Sequence[float],
        loss: float,
        shares: Sequence[float] | None = None,
    ) -> None:
        """Add an epoch to ``state``, which keeps its weights if it is the best.

        Args:
            shares: (M,) of the variance of what is taught, missed; None goes by ``measured``.
        """
        state.epoch += 1
        total = sum(shares or [m.mse / unit**2 for m, unit in zip(measured, units, strict=True)])
        if total < state.lowest:
            state.lowest, state.best = total, state.epoch
            state.weights = {name: p.detach().cpu().clone() for name, p in self.parameters.items()}
        held_out = {name: asdict(m) for name, m in zip(names, measured, strict=True)}
        learning_rate = self.schedule.get_last_lr()[0]
        explained = (
            {"explained": {name: 1 - share for name, share in zip(names, shares, strict=True)}} if shares else {}
        )
        record = {"epoch": state.epoch, "train_loss": loss, "learning_rate": learning_rate, "held_out": held_out}
        state.history.append(record | explained)

    def save(self, folder: Path, state: TrainingState) -> None:
        """The log, and what resuming needs; tensors and plain numbers only, so that loading runs no code."""
        lines = "".join(json.dumps(record) + "\n" for record in state.history)
        durable.replace(folder / "log.jsonl", lambda part: part.write_text(lines, encoding="utf-8"))
        saved = {
            "progress": {name: getattr(state, name) for name in ("epoch", "best", "lowest", "weights")},
            "history": lines,
            "parameters": {name: p.detach().cpu() for name, p in self.parameters.items()},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        durable.replace(folder / CHECKPOINT, lambda part: torch.save(saved, part))

    def resume(self, path: Path) -> TrainingState:
        if not path.exists():
            return TrainingState()
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
            first = str(error).splitlines()[0]
            raise RunError(f"{path}: {first}; remove it to train from the beginning") from error
        self.load(saved["parameters"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        return TrainingState(**saved["progress"], history=[json.loads(line) for line in saved["history"].splitlines()])


def _step(accelerator: Any, module: nn.Module, optimizer: Any, batch: Batch, unit: Tensor, clip: float) -> float:
    """One step on one batch; its loss."""
    with accelerator.autocast():
        found = module(batch)
    loss = F.mse_loss(found.float() / unit, batch.targets / unit)
    if not loss.isfinite():
        raise RunError(f"train: the loss is {loss.item()}; lower train.learning_rate")
    accelerator.backward(loss)
    accelerator.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.item())


def rate(steps: int, warmup: float) -> Callable[[int], float]:
    """Share of the peak learning rate at a step: linear up, linear down to 2 %."""
    rising = max(1, round(warmup * steps))

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return max(LOWEST_RATE, 1 - (1 - LOWEST_RATE) * (step - rising) / max(1, steps - rising))

    return share


@torch.inference_mode()
def predict(
    module: nn.Module,
    part: LabelledTrees,
    batch_trees: int,
    device: torch.device,
    tick: Callable[[], object] = lambda: None,
) -> Array:
    """Predictions at every node end, (N, M) z-units, NaN at roots; ``tick`` is called after every batch."""
    module.eval()
    found = []
    for i in range(0, len(part.trees), batch_trees):
        found.append(module(collate(part.trees[i : i + batch_trees], False, device)).float().cpu())
        tick()
    ends = torch.cat(found).numpy()
    predictions = np.full((len(part.forest), ends.shape[1]), np.nan)
    predictions[part.forest.parent >= 0] = ends
    return predictions


def evaluate(
    module: nn.Module,
    data: TrainingData,
    config: TrainConfig,
    device: torch.device,
    tick: Callable[[], object] = lambda: None,
) -> list[Measures]:
    """Measures of every objective on the held-out trees."""
    part = data.held_out
    predicted = predict(module, part, config.batch_trees, device, tick)
    constants = data.train.constant
    return [
        measure(part.forest, predicted[:, m], part.targets[:, m], float(constants[m]))
        for m in range(predicted.shape[1])
    ]


@torch.inference_mode()
def missed(module: nn.Module, data: TrainingData, config: TrainConfig, device: torch.device) -> list[float]:
    """Of every objective the share of the held-out trees' variance that predictions miss, at all that is taught."""
    module.eval()
    trees, errors, targets = data.held_out.trees, [], []
    for i in range(0, len(trees), config.batch_trees):
        batch = collate(trees[i : i + config.batch_trees], True, device)
        errors.append((module(batch).float() - batch.targets).square().double().cpu())
        targets.append(batch.targets.double().cpu())
    variance = torch.cat(targets).var(dim=0, correction=0).clamp_min(SMALLEST_VARIANCE)
    shares: list[float] = (torch.cat(errors).mean(dim=0) / variance).tolist()
    return shares


def _batches(part: LabelledTrees, config: TrainConfig, seed: int, epoch: int, accelerator: Any) -> list[list[int]]:
    """Indices of this process's batches of an epoch; processes take turns, and all take equally many."""
    order = np.random.default_rng((seed, epoch)).permutation(len(part.trees)).tolist()
    size, count = config.batch_trees, accelerator.num_processes
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    batches += batches[: -len(batches) % count]
    return batches[accelerator.process_index :: count]
