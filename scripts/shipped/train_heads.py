"""Trains one ``head`` value for each objective from rollouts.

    python -m scripts.shipped.train_heads --model FOLDER --rollouts FILE --out FOLDER

Prints and stores, for each: held-out MSE beside the constant predictor's (1 by construction of z-scores, up
to sampling), and the same for a control trained on shuffled rewards, which must not beat the constant.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor
from tqdm import tqdm

from mavis_core.policy import Policy
from scripts.shipped.rollouts import read_rollouts
from scripts.shipped.value_data import Examples, Normalisation, collect, held_out
from value_models.folders import save_head
from value_models.head import HeadNetwork, unit_rms
from value_models.identity import identify
from value_models.rewards.registry import load, names
from value_models.value_config import ObjectiveConfig, ValueConfig

WIDTH = 128
RANK = 16
BATCH = 2048


def predict(network: HeadNetwork, embedding: Tensor, hidden: Tensor, tokens: Tensor) -> Tensor:
    """V of one token per state: hidden (E, D), tokens (E,) -> (E, M)."""
    unique, inverse = tokens.unique(return_inverse=True)
    table = network.read_tokens(embedding[unique])[inverse]
    return network(hidden, table[:, None])[:, 0]


def fit(
    embedding: Tensor, train: Examples, test: Examples, targets: Tensor, epochs: int, seed: int
) -> tuple[HeadNetwork, list[Tensor]]:
    """Regress on targets (N, M) by rollout, keeping the epoch with the lowest held-out MSE of each objective.

    Returns:
        The network and, per epoch, held-out MSE (M,).
    """
    torch.manual_seed(seed)
    network = HeadNetwork(targets.shape[1], train.hidden.shape[1], WIDTH, RANK)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    steps = epochs * (len(train.tokens) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)
    best = {name: p.detach().clone() for name, p in network.named_parameters()}
    lowest = torch.full((targets.shape[1],), torch.inf)
    history = []
    for _ in tqdm(range(epochs), unit="epoch"):
        network.train()
        for batch in torch.randperm(len(train.tokens)).split(BATCH):
            found = predict(network, embedding, train.hidden[batch], train.tokens[batch])
            loss = F.mse_loss(found, targets[train.rollout[batch]], reduction="none").mean(0).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        history.append(evaluate(network, embedding, test, targets))
        better = history[-1] < lowest
        lowest = torch.where(better, history[-1], lowest)
        for name, p in network.named_parameters():
            best[name][better] = p.detach()[better]
    network.load_state_dict(best)
    return network, history


@torch.inference_mode()
def evaluate(network: HeadNetwork, embedding: Tensor, test: Examples, targets: Tensor) -> Tensor:
    """Held-out MSE of each objective, (M,), z-units."""
    network.eval()
    errors = [
        (predict(network, embedding, test.hidden[b], test.tokens[b]) - targets[test.rollout[b]]) ** 2
        for b in torch.arange(len(test.tokens)).split(BATCH)
    ]
    return torch.cat(errors).mean(0)


def main(
    model: Annotated[Path, typer.Option(help="policy folder")],
    rollouts: Annotated[Path, typer.Option(help="from scripts.shipped.rollouts")],
    out: Annotated[Path, typer.Option(help="folder that gets one folder per objective")],
    epochs: int = 12,
    seed: int = 0,
) -> None:
    """Train, compare with the trivial predictor and the shuffled control, save."""
    began = time.perf_counter()
    policy = Policy.load(str(model), torch.device("cpu"), torch.float32)
    sequences, prompt_lengths, rewards = read_rollouts(rollouts)
    examples = collect(policy, sequences, prompt_lengths)
    out_of_sample = held_out(len(sequences))[examples.rollout]
    train, test = examples.take(~out_of_sample), examples.take(out_of_sample)
    normalisation = Normalisation.measure(rewards[~held_out(len(sequences))])
    targets = normalisation.apply(rewards)
    embedding = unit_rms(policy.readout.weight)
    network, history = fit(embedding, train, test, targets, epochs, seed)
    shuffled = targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))]
    control, _ = fit(embedding, train, test, shuffled, 2, seed)
    mse = evaluate(network, embedding, test, targets)
    control_mse = evaluate(control, embedding, test, shuffled)
    constant = ((targets[test.rollout] - targets[train.rollout].mean(0)) ** 2).mean(0)
    control_constant = ((shuffled[test.rollout] - shuffled[train.rollout].mean(0)) ** 2).mean(0)
    for i, name in enumerate(names()):
        training: dict[str, Any] = {
            "rollouts": len(sequences),
            "tokens": len(examples.tokens),
            "epochs": epochs,
            "seed": seed,
            "held_out_mse": round(mse[i].item(), 4),
            "held_out_mse_constant": round(constant[i].item(), 4),
            "held_out_mse_by_epoch": [round(h[i].item(), 4) for h in history],
            "shuffled_mse": round(control_mse[i].item(), 4),
            "shuffled_mse_constant": round(control_constant[i].item(), 4),
        }
        objective = ObjectiveConfig(
            name, load(name).description, normalisation.mean[i].item(), normalisation.std[i].item(), 1.0
        )
        architecture = {"hidden_size": train.hidden.shape[1], "width": WIDTH, "rank": RANK}
        config = ValueConfig("head", (objective,), identify(policy), architecture, training)
        one = HeadNetwork(1, **architecture)
        one.load_state_dict({n: p.detach()[i : i + 1] for n, p in network.named_parameters()})
        save_head(out / name, config, one)
        print(json.dumps({"objective": name, **training}))
    print(f"{time.perf_counter() - began:.0f} s; recommended betas are set by scripts.shipped.tune_beta")


if __name__ == "__main__":
    typer.run(main)
