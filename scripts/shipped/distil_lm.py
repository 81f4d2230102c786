"""Distils the heads into one four-output ``lm`` value: a causal LM of its own that reads only the text.

    python -m scripts.shipped.distil_lm --model FOLDER --rollouts FILE --heads FOLDER --out FOLDER

The student learns the teachers' values at every answer token and, at one random position of each answer, at
the k candidates that decoding would ask about (MAVIS v3's distilled student), laid out as it will be queried:
siblings at one position that see the text and themselves.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn
from tqdm import tqdm

from mavis_core.policy import Policy
from scripts.shipped.rollouts import TOP_K, read_rollouts
from scripts.shipped.value_data import Examples, Normalisation, collect, held_out
from value_models.folders import build_lm, load_value, save_lm
from value_models.head import HeadNetwork, HeadValue, unit_rms
from value_models.identity import identify
from value_models.rewards.registry import load, names
from value_models.training.lm_trainee import principal, small
from value_models.value_config import ObjectiveConfig, ValueConfig

SIBLINGS = 12
BATCH = 24


class Batches:
    """Sequences with siblings, padded to one length, and the teachers' values at every asked position."""

    def __init__(
        self, policy: Policy, teacher: HeadNetwork, examples: Examples, sequences: list[Tensor], starts: Tensor
    ) -> None:
        self.policy, self.teacher, self.examples, self.sequences, self.starts = (
            policy,
            teacher,
            examples,
            sequences,
            starts,
        )
        counts = torch.tensor([len(s) for s in sequences]) - starts
        self.first = counts.cumsum(0) - counts
        with torch.inference_mode():
            self.table = teacher.read_tokens(unit_rms(policy.readout.weight))

    def build(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Rollouts ``chosen``: ids, positions (R, T), mask (R, 1, T, T), targets (R, T, M), asked (R, T) bool."""
        longest = max(len(self.sequences[i]) for i in chosen.tolist())
        rows, total = len(chosen), longest + SIBLINGS
        ids = torch.zeros(rows, total, dtype=torch.long)
        positions = torch.arange(total).repeat(rows, 1)
        mask = torch.ones(total, total, dtype=torch.bool).tril().repeat(rows, 1, 1)
        targets = torch.zeros(rows, total, self.teacher.state_in.shape[0])
        asked = torch.zeros(rows, total, dtype=torch.bool)
        for r, i in enumerate(chosen.tolist()):
            sequence, start = self.sequences[i], int(self.starts[i])
            own = slice(int(self.first[i]), int(self.first[i]) + len(sequence) - start)
            hidden, tokens = self.examples.hidden[own], self.examples.tokens[own]
            ids[r, : len(sequence)] = sequence
            at = int(torch.randint(len(tokens), (), generator=generator))
            likely = self.policy.logits(hidden[at : at + 1])[0].topk(TOP_K).indices
            siblings = likely[torch.randperm(TOP_K, generator=generator)[:SIBLINGS]]
            ids[r, longest:] = siblings
            positions[r, longest:] = start + at
            mask[r, longest:] = False
            mask[r, longest:, : start + at] = True
            mask[r, longest:, longest:] = torch.eye(SIBLINGS, dtype=torch.bool)
            targets[r, start : len(sequence)] = self.teacher(hidden, self.table[tokens][:, None])[:, 0]
            targets[r, longest:] = self.teacher(hidden[at : at + 1], self.table[siblings][None])[0]
            asked[r, start : len(sequence)] = True
            asked[r, longest:] = True
        return ids, positions, mask[:, None], targets, asked


def forward(backbone: nn.Module, readout: nn.Module, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
    hidden = backbone(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).last_hidden_state
    found: Tensor = readout(hidden)
    return found


def main(
    model: Annotated[Path, typer.Option(help="policy folder")],
    rollouts: Annotated[Path, typer.Option(help="from scripts.shipped.rollouts")],
    heads: Annotated[Path, typer.Option(help="from scripts.shipped.train_heads: the teachers")],
    out: Annotated[Path, typer.Option(help="folder of the student")],
    hidden: int = 128,
    layers: int = 2,
    epochs: int = 4,
    lr: float = 2e-3,
    seed: int = 0,
) -> None:
    """Train the student, report how much of the teachers it explains, save."""
    began = time.perf_counter()
    policy = Policy.load(str(model), torch.device("cpu"), torch.float32)
    teachers = [load_value(heads / name, policy) for name in names()]
    stacked = HeadValue.stack([value for value in teachers if isinstance(value, HeadValue)])
    sequences, starts, rewards = read_rollouts(rollouts)
    normalisation = Normalisation.measure(rewards[~held_out(len(sequences))])
    examples = collect(policy, sequences, starts)
    batches = Batches(policy, stacked.network, examples, sequences, starts)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    settings = small(policy, hidden, layers)
    backbone, readout = build_lm(settings, len(names()))
    backbone.embed_tokens.weight.data.copy_(principal(policy.readout.weight, hidden))
    parameters = [*backbone.parameters(), *readout.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.05)
    order = torch.arange(len(sequences))
    train, test = order[~held_out(len(sequences))], order[held_out(len(sequences))]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=epochs * (len(train) // BATCH + 1), pct_start=0.05
    )
    for _ in range(epochs):
        for chosen in tqdm(train[torch.randperm(len(train), generator=generator)].split(BATCH), mininterval=10):
            with torch.no_grad():
                ids, positions, mask, targets, asked = batches.build(chosen, generator)
            loss = F.mse_loss(forward(backbone, readout, ids, positions, mask)[asked], targets[asked])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
    report = evaluate(batches, backbone, readout, test, normalisation.apply(rewards))
    training = {"student_of": "head", "rollouts": len(sequences), "epochs": epochs, "seed": seed, **report}
    recommended = {o.name: o.recommended_beta for value in teachers for o in value.spec.objectives}
    objectives = tuple(
        ObjectiveConfig(name, load(name).description, mean, std, recommended[name])
        for name, mean, std in zip(names(), normalisation.mean.tolist(), normalisation.std.tolist(), strict=True)
    )
    save_lm(out, ValueConfig("lm", objectives, identify(policy), settings, training), backbone, readout)
    print(json.dumps(training), f"{time.perf_counter() - began:.0f} s")


@torch.inference_mode()
def evaluate(
    batches: Batches, backbone: nn.Module, readout: nn.Module, test: Tensor, targets: Tensor
) -> dict[str, Any]:
    """Held out: share of the teachers' variance explained, and MSE against the rewards at answer tokens."""
    generator = torch.Generator().manual_seed(0)
    backbone.eval()
    found, taught, real, told = [], [], [], []
    for chosen in test.split(BATCH):
        ids, positions, mask, teacher, asked = batches.build(chosen, generator)
        values = forward(backbone, readout, ids, positions, mask)
        found.append(values[asked])
        taught.append(teacher[asked])
        answer = asked.clone()
        answer[:, -SIBLINGS:] = False
        real.append(values[answer])
        told.append(targets[chosen][:, None].expand(-1, ids.shape[1], -1)[answer])
    student, teacher = torch.cat(found), torch.cat(taught)
    explained = 1 - ((student - teacher) ** 2).mean(0) / teacher.var(0)
    mse = ((torch.cat(real) - torch.cat(told)) ** 2).mean(0)
    return {
        "teacher_variance_explained": {n: round(x, 4) for n, x in zip(names(), explained.tolist(), strict=True)},
        "held_out_mse": {n: round(x, 4) for n, x in zip(names(), mse.tolist(), strict=True)},
    }


if __name__ == "__main__":
    typer.run(main)
