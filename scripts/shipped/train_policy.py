"""Trains the policy that ships, within a given number of minutes, on one GPU (or, slowly, a CPU).

    python -m scripts.shipped.train_policy --data PREPARED --out FOLDER --minutes 8

Time is the budget and the schedule's only clock: the learning rate and the stories' share of a
batch are functions of the fraction of the budget that is used, so a run always ends annealed.
A long run passes the small corpus many times, so the weights (raw or averaged) with the lowest validation
loss are kept, not the last ones.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

import numpy as np
import torch
import torch.nn.functional as F
import transformers
import typer
from torch import Tensor
from tqdm import tqdm
from transformers import GenerationConfig, LlamaForCausalLM

from scripts.shipped.muon import Muon
from scripts.shipped.policy_model import MAX_FILE_BYTES, build_policy, parameter_count
from scripts.shipped.token_rows import epochs, whole_rows

SYNC_EVERY = 10  # steps between waits for the device, so that the clock below stays honest
RESERVE_S = 12.0  # kept back for the last evaluation and for saving


@dataclass(frozen=True)
class Run:
    minutes: float
    rows: int
    length: int
    lr: float
    dropout: float
    weight_decay: float
    optimizer: str
    story_share: float
    ema: float
    eval_every: int
    eval_rows: int
    max_steps: int
    compile: bool
    seed: int

    def lr_factor(self, fraction: float) -> float:
        """Multiplier of the peak rate at a used budget fraction in [0, 1]: warm-up, linear to 0."""
        return min(fraction / 0.02, (1 - fraction) / 0.98, 1.0) if fraction < 1 else 0.0

    def story_rows(self, fraction: float) -> int:
        """Rows of stories in a batch: from `story_share` down to none at 40 % of the budget."""
        return round(self.rows * self.story_share * max(0.0, 1 - fraction / 0.4))


class Average:
    """Exponential moving average of the weights, with a short memory in the first steps."""

    def __init__(self, model: LlamaForCausalLM, decay: float) -> None:
        self.live = list(model.parameters())
        self.mean = [p.detach().clone() for p in self.live]
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.mean, self.live, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the model's weights with the mean; a second call exchanges them back."""
        for live, mean in zip(self.live, self.mean, strict=True):
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)


@dataclass
class Best:
    loss: float = math.inf
    weights: str = "raw"
    step: int = 0
    state: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    def offer(self, loss: float, weights: str, step: int, model: LlamaForCausalLM) -> None:
        if loss < self.loss:
            self.loss, self.weights, self.step = loss, weights, step
            self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}


def main(
    data: Annotated[Path, typer.Option(help="folder written by scripts.shipped.corpus")],
    out: Annotated[Path, typer.Option(help="model folder to write")],
    minutes: Annotated[float, typer.Option(help="wall-clock budget, saving included")] = 8.0,
    rows: Annotated[int, typer.Option(help="rows per step")] = 64,
    length: Annotated[int, typer.Option(help="tokens per row")] = 1024,
    lr: float = 3e-3,
    dropout: float = 0.1,
    weight_decay: float = 0.1,
    optimizer: Annotated[str, typer.Option(help="adamw or muon")] = "adamw",
    story_share: float = 0.4,
    ema: float = 0.998,
    eval_every: int = 250,
    eval_rows: Annotated[int, typer.Option(help="rows per evaluation; for tests on a CPU")] = 10_000,
    max_steps: Annotated[int, typer.Option(help="0: no limit but the minutes")] = 0,
    compile: Annotated[bool, typer.Option(help="torch.compile, eager if it fails")] = False,
    init: Annotated[Path | None, typer.Option(help="folder of an earlier run to go on from")] = None,
    seed: int = 0,
) -> None:
    """Train, keep the best weights by validation loss, save in bfloat16."""
    began = time.perf_counter()
    run = Run(
        minutes, rows, length, lr, dropout, weight_decay, optimizer, story_share, ema,
        eval_every, eval_rows, max_steps, compile, seed,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    torch.set_float32_matmul_precision("high")
    arrays = {
        name: torch.from_numpy(np.load(data / f"{name}.npy").astype(np.int32)).to(device)
        for name in ("train_chat", "train_stories", "valid_chat", "test_chat")
    }
    special = _special_ids(data / "tokenizer")
    model = build_policy(4096, dropout, special).to(device)
    if init is not None:
        model.load_state_dict(LlamaForCausalLM.from_pretrained(init, dtype=torch.float32).state_dict())
    print(f"{parameter_count(model):,} parameters on {device}")
    with (out / "log.jsonl").open("w") as log:
        best, used = train(model, arrays, special["bos_token_id"], run, began, _flushed(log))
    _save(model, best, data, out, special)
    result = {
        "run": dataclasses.asdict(run),
        "went_on_from": json.loads((init / "training.json").read_text()) if init is not None else None,
        "parameters": parameter_count(model),
        "hardware": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        **used,
        "best_step": best.step,
        "best_weights": best.weights,
        "valid_loss": best.loss,
        "valid_loss_saved": evaluate(model, arrays["valid_chat"], run),
        "test_loss_saved": evaluate(model, arrays["test_chat"], run),
        "seconds": round(time.perf_counter() - began, 1),
        "corpus": json.loads((data / "corpus.json").read_text()),
    }
    (out / "training.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def train(
    model: LlamaForCausalLM,
    arrays: dict[str, Tensor],
    begin: int,
    run: Run,
    began: float,
    log: Callable[[str], Any],
) -> tuple[Best, dict[str, int | float]]:
    """The loop; returns the best weights and how many steps and tokens it took."""
    optimizers = _optimizers(model, run)
    average, best = Average(model, run.ema), Best()
    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(run.seed)
    chat = epochs(arrays["train_chat"], begin, run.length, generator)
    stories = epochs(arrays["train_stories"], begin, run.length, generator)
    forward = _forward(model, run)
    deadline = began + run.minutes * 60 - RESERVE_S
    started = time.perf_counter()  # after compiling: the schedule covers what is left
    silent = None if sys.stderr.isatty() else 30.0
    bar = tqdm(unit="step", mininterval=silent or 0.5)
    step, fraction, loss = 0, 0.0, torch.zeros(())
    while fraction < 1 and (not run.max_steps or step < run.max_steps):
        factor = run.lr_factor(fraction)
        for opt in optimizers:
            for group in opt.param_groups:
                group["lr"] = run.lr * factor
        count = run.story_rows(fraction)
        batch = torch.stack(_take(stories, count) + _take(chat, run.rows - count))
        model.train()
        loss = forward(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in optimizers:
            opt.step()
            opt.zero_grad(set_to_none=True)
        average.update()
        step += 1
        bar.update()
        if step % SYNC_EVERY == 0:
            loss.item()
        fraction = _fraction(started, deadline, step, run)
        if step % run.eval_every == 0 or fraction >= 1:
            row = _compare(model, average, arrays["valid_chat"], run, step, best)
            row |= {
                "step": step,
                "tokens": step * run.rows * run.length,
                "elapsed": round(time.perf_counter() - began, 1),
                "train_loss": round(loss.item(), 4),
                "lr": run.lr * factor,
                "story_rows": count,
            }
            log(json.dumps(row) + "\n")
            tqdm.write(json.dumps(row), file=sys.stdout)
            sys.stdout.flush()
    bar.close()
    tokens = step * run.rows * run.length
    elapsed = time.perf_counter() - started
    return best, {"steps": step, "tokens": tokens, "tokens_per_s": round(tokens / elapsed)}


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, tokens: Tensor, run: Run) -> float:
    """Mean loss in nats per token over the array (N,) cut into rows, without dropout."""
    model.eval()
    total, count = 0.0, 0
    for rows in whole_rows(tokens, run.length)[: run.eval_rows].split(32):
        total += _loss(model, rows).item() * len(rows)
        count += len(rows)
    return total / count


def _loss(model: LlamaForCausalLM, rows: Tensor) -> Tensor:
    """Mean next-token cross-entropy in nats of rows (B, T + 1); bfloat16 autocast on a GPU."""
    with torch.autocast(rows.device.type, torch.bfloat16, enabled=rows.device.type == "cuda"):
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())


def _forward(model: LlamaForCausalLM, run: Run) -> Callable[[Tensor], Tensor]:
    """The training loss of rows, compiled where asked for and possible."""
    if not run.compile:
        return lambda rows: _loss(model, rows)
    compiled: Callable[..., Tensor] = torch.compile(_loss, dynamic=False)
    device = next(model.parameters()).device
    try:
        model.train()
        probe = torch.zeros(run.rows, run.length + 1, dtype=torch.long, device=device)
        compiled(model, probe).backward()
        model.zero_grad(set_to_none=True)
    except Exception as error:  # any compiler failure: the plain path is the same computation
        print(f"torch.compile failed, going on without: {error!r:.500}")
        return lambda rows: _loss(model, rows)
    return lambda rows: compiled(model, rows)


def _optimizers(model: LlamaForCausalLM, run: Run) -> list[torch.optim.Optimizer]:
    """AdamW, or Muon for the blocks' matrices with AdamW for embedding and norms."""
    parameters = dict(model.named_parameters())
    matrices = [p for n, p in parameters.items() if p.ndim == 2 and "embed" not in n]
    embedding = [p for n, p in parameters.items() if p.ndim == 2 and "embed" in n]
    norms = [p for p in parameters.values() if p.ndim < 2]
    fused = matrices[0].is_cuda
    decayed = embedding if run.optimizer == "muon" else embedding + matrices
    adamw = torch.optim.AdamW(
        [{"params": decayed}, {"params": norms, "weight_decay": 0.0}],
        lr=run.lr, betas=(0.9, 0.95), weight_decay=run.weight_decay, fused=fused,
    )  # fmt: skip
    if run.optimizer == "adamw":
        return [adamw]
    if run.optimizer != "muon":
        raise typer.BadParameter(f"--optimizer {run.optimizer}: must be adamw or muon")
    return [adamw, Muon(matrices, lr=run.lr, weight_decay=run.weight_decay)]


def _take(rows: Iterator[Tensor], count: int) -> list[Tensor]:
    return [next(rows) for _ in range(count)]


def _fraction(started: float, deadline: float, step: int, run: Run) -> float:
    """Used share of the budget: of time, or of `max_steps` where that is further."""
    by_time = (time.perf_counter() - started) / max(deadline - started, 1e-9)
    return max(by_time, step / run.max_steps if run.max_steps else 0.0)


def _compare(
    model: LlamaForCausalLM, average: Average, valid: Tensor, run: Run, step: int, best: Best
) -> dict[str, Any]:
    """Validation loss of raw and averaged weights; offers both to `best`."""
    raw = evaluate(model, valid, run)
    best.offer(raw, "raw", step, model)
    average.swap()
    mean = evaluate(model, valid, run)
    best.offer(mean, "ema", step, model)
    average.swap()
    return {"valid_loss": round(raw, 4), "valid_loss_ema": round(mean, 4)}


def _flushed(log: TextIO) -> Callable[[str], None]:
    def write(line: str) -> None:
        log.write(line)
        log.flush()

    return write


def _special_ids(tokenizer: Path) -> dict[str, int]:
    """Ids of begin, end and pad, read from the tokenizer's own file."""
    added = json.loads((tokenizer / "tokenizer.json").read_text())["added_tokens"]
    ids = {token["content"]: int(token["id"]) for token in added}
    return {
        "bos_token_id": ids["<|begin|>"],
        "eos_token_id": ids["<|end|>"],
        "pad_token_id": ids["<|pad|>"],
    }


def _save(model: LlamaForCausalLM, best: Best, data: Path, out: Path, special: dict[str, int]) -> None:
    """Best weights in bfloat16, for the size of the file, with tokenizer and generation config.

    The config says float32, in which so small a model is served wherever it can be. The model keeps the rounded
    weights, in float32 again, for its last evaluation.
    """
    model.load_state_dict(best.state)
    model.to(torch.bfloat16)
    model.config.attention_dropout = 0.0
    model.generation_config = GenerationConfig(**special)
    model.save_pretrained(out)
    model.float()
    model.config.dtype = torch.float32
    model.config.save_pretrained(out)
    for file in (data / "tokenizer").iterdir():
        shutil.copyfile(file, out / file.name)
    size = (out / "model.safetensors").stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"model.safetensors has {size} bytes: must be at most {MAX_FILE_BYTES}")


if __name__ == "__main__":
    typer.run(main)
