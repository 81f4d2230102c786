"""An ``implicit`` value from the policy: a copy fine-tuned on its own best answers, and the policy as the untuned one.

    python -m scripts.shipped.tune_pair --model FOLDER --rollouts FILE --objective NAME --out FOLDER

Filtered fine-tuning: the loss of the answers in the top quarter by reward, prompts left out. The log-ratio of the two
is IVG's implicit value (arXiv 2409.17819). Its scale is measured on held-out answers of the policy, all of them, token
by token; ``scripts.shipped.tune_beta`` sets its beta afterwards.

Printed and stored: the held-out loss of good answers before and after, and how often the summed log-ratio ranks a good
held-out answer above another one (0.5 is chance).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from mavis_core.model.policy import Policy
from scripts.shipped.rollouts import read_rollouts
from value_models.identity import identify
from value_models.kinds.implicit import save_implicit
from value_models.kinds.tuned_models import THE_POLICY
from value_models.value_config import ObjectiveConfig, ValueConfig

BATCH = 24
HELD_OUT = 0.1


def held_out(rollouts: int) -> Tensor:
    """Which rollouts are held out: (N,) bool, the last tenth (rollouts have distinct prompts)."""
    return torch.arange(rollouts) >= int(rollouts * (1 - HELD_OUT))


def answer_logprobs(model: Any, sequences: Sequence[Tensor], starts: Tensor) -> tuple[Tensor, Tensor]:
    """log pi of every token and which of them belong to answers: (R, T - 1) float32 and bool.

    Args:
        model: a causal LM of transformers.
        sequences: R of (T_i,) int64; padding lies to the right, where causal attention never looks.
        starts: (R,) int64, where each answer begins.
    """
    padded = pad_sequence(list(sequences), batch_first=True)
    logits = model(input_ids=padded[:, :-1], use_cache=False).logits.float()
    logprobs = logits.log_softmax(-1).gather(2, padded[:, 1:, None])[..., 0]
    position = torch.arange(1, padded.shape[1])
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return logprobs, (position >= starts[:, None]) & (position < lengths[:, None])


def tune(policy: Policy, sequences: Sequence[Tensor], starts: Tensor, epochs: int, lr: float, seed: int) -> Any:
    """A copy of the policy after ``epochs`` over these answers."""
    model = copy.deepcopy(policy.model).requires_grad_(True).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    batches = [b for _ in range(epochs) for b in torch.randperm(len(sequences), generator=generator).split(BATCH)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=len(batches), pct_start=0.1)
    for chosen in tqdm(batches, unit="step", mininterval=5):
        logprobs, mask = answer_logprobs(model, [sequences[i] for i in chosen.tolist()], starts[chosen])
        loss = -logprobs[mask].mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def log_ratios(policy: Policy, tuned: Any, sequences: Sequence[Tensor], starts: Tensor) -> list[Tensor]:
    """log pi_tuned - log pi of every answer token, one tensor per answer, and before it log pi: (T_i, 2)."""
    found = []
    for chosen in torch.arange(len(sequences)).split(BATCH):
        part = [sequences[i] for i in chosen.tolist()]
        before, mask = answer_logprobs(policy.model, part, starts[chosen])
        after, _ = answer_logprobs(tuned, part, starts[chosen])
        both = torch.stack((before, after - before), dim=2)
        found += [row[own] for row, own in zip(both, mask, strict=True)]
    return found


def ranking_accuracy(scores: Tensor, good: Tensor) -> float:
    """P(a good one scores above another): scores (N,), good (N,) bool; ties count half."""
    differences = scores[good][:, None] - scores[~good]
    return float(((differences > 0).float() + 0.5 * (differences == 0).float()).mean())


def main(
    model: Annotated[Path, typer.Option(help="policy folder")],
    rollouts: Annotated[Path, typer.Option(help="from scripts.shipped.rollouts")],
    objective: Annotated[str, typer.Option(help="which of their rewards")],
    out: Annotated[Path, typer.Option(help="folder of the value")],
    name: Annotated[str | None, typer.Option(help="of the new objective; default: OBJECTIVE-implicit")] = None,
    share: Annotated[float, typer.Option(help="of the answers that are good", min=0.01, max=0.99)] = 0.25,
    epochs: int = 2,
    lr: float = 3e-4,
    seed: int = 0,
) -> None:
    """Tune, measure, save."""
    policy = Policy.load(str(model), torch.device("cpu"), torch.float32)
    sequences, starts, rewards = read_rollouts(rollouts)
    reward = rewards[:, _column(rollouts, objective)]
    test = held_out(len(sequences))
    threshold = reward[~test].quantile(1 - share)
    good = reward >= threshold
    if good.all():
        raise typer.BadParameter(f"{objective}: more than {share:g} of the answers have the highest reward of all")
    train = (good & ~test).nonzero()[:, 0].tolist()
    tuned = tune(policy, [sequences[i] for i in train], starts[train], epochs, lr, seed)
    asked = test.nonzero()[:, 0].tolist()
    found = log_ratios(policy, tuned, [sequences[i] for i in asked], starts[asked])
    ratios = torch.cat(found)[:, 1]
    on_good = torch.cat([rows for rows, i in zip(found, asked, strict=True) if good[i]])
    training = {
        "tuned_on": f"top {share:g} by {objective} of {len(sequences)} answers, {len(train)} after hold-out",
        "epochs": epochs,
        "lr": lr,
        "seed": seed,
        "loss_of_good_before": round(-float(on_good[:, 0].mean()), 4),
        "loss_of_good_after": round(-float(on_good.sum(1).mean()), 4),
        "ranking_accuracy": round(ranking_accuracy(torch.stack([rows[:, 1].sum() for rows in found]), good[test]), 4),
    }
    described = ObjectiveConfig(
        name or f"{objective}-implicit",
        f"as the policy's best answers by {objective} are written",
        float(ratios.mean()),
        float(ratios.std()),
        1.0,
    )
    config = ValueConfig("implicit", (described,), identify(policy), {}, training)
    save_implicit(out, config, [tuned], THE_POLICY)
    print(json.dumps(training))


def _column(rollouts: Path, objective: str) -> int:
    with safe_open(rollouts, "pt") as file:
        known = json.loads(file.metadata()["objectives"])
    if objective not in known:
        raise typer.BadParameter(f"{objective!r}: the rollouts have {', '.join(known)}")
    found: int = known.index(objective)
    return found


if __name__ == "__main__":
    typer.run(main)
