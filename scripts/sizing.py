"""The table of docs/training.md that says how long a run takes and how large it is, before one has a machine to try.

    python -m scripts.sizing            # writes it anew

Bytes and tokens are computed by the code with which ``mavis fit`` foresees a run. Tokens per second cannot be: two are
measured, the others are guesses, and whatever is made of a guess is marked as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from value_models.kinds.head_network import HeadNetwork
from value_models.rollouts.shape import Shape
from value_models.training.forecast import Work, beta_tokens, disk, duration, kept_states, tree_size
from value_models.training.train_config import TrainConfig

PAGE = Path("docs/training.md")
TABLE = re.compile(r"^\| model \| GB of disk \|.*?(?=\n\n)", re.DOTALL | re.MULTILINE)
PROMPTS, PROMPT_TOKENS, OBJECTIVES = 1000, 50, 2
ROWS = 64
GPU_ROWS = 256
MEASURED = "measured"
GUESSED = "guess"


@dataclass(frozen=True, slots=True)
class Model:
    """
    Attributes:
        parameters: in millions.
        cpu: tokens/s that two cores draw; None: in inverse proportion to the parameters of ``MEASURED_ON``.
        gpu_step: milliseconds that a step of ``GPU_ROWS`` rows is assumed to take; None: nobody would.
    """

    name: str
    parameters: float
    hidden: int
    layers: int
    kv_heads: int
    head_size: int
    cpu: float | None = None
    gpu_step: float | None = None

    @property
    def gigabytes(self) -> float:
        """Weights in bf16, keys and values of all rows at their longest, the states that a head keeps."""
        kv = 2 * self.layers * self.kv_heads * self.head_size * 2 * ROWS * (PROMPT_TOKENS + Shape().max_tokens)
        return (self.parameters * 2e6 + kv + kept_states(work(), self.hidden)) / 1e9

    @property
    def disk(self) -> float:
        with torch.device("meta"):
            head = HeadNetwork(OBJECTIVES, self.hidden, TrainConfig().width, TrainConfig().rank)
        return disk(work(), sum(each.numel() for each in head.parameters())) / 1e9


MODELS = (
    Model("the model that ships (4.6M, float32)", 4.57, 256, 5, 2, 32, cpu=2029),
    Model("0.1B (SmolLM2-135M)", 134.5, 576, 30, 3, 64, cpu=400, gpu_step=32),
    Model("0.5B (Qwen2.5's shape)", 494, 896, 24, 2, 64, gpu_step=40),
    Model("1.5B (likewise)", 1544, 1536, 28, 2, 128, gpu_step=50),
    Model("7B (likewise)", 7616, 3584, 28, 4, 128, gpu_step=100),
)
MEASURED_ON = MODELS[1]


def work() -> Work:
    """A run with everything else as it is by default."""
    tokens, responses = tree_size(Shape())
    config = TrainConfig()
    return Work(
        prompts=PROMPTS,
        prompts_left=PROMPTS,
        unlabelled=PROMPTS,
        tokens=tokens,
        responses=responses,
        at_most=True,
        prompt_tokens=PROMPT_TOKENS,
        epochs_left=config.epochs,
        tuned=min(round(config.held_out * PROMPTS), config.beta_prompts) * OBJECTIVES,
        max_tokens=Shape().max_tokens,
        objectives=OBJECTIVES,
    )


def drawn() -> float:
    """Tokens of rollouts and of tuning beta together."""
    return work().prompts * work().tokens + beta_tokens(work())


def row(model: Model) -> str:
    assert MEASURED_ON.cpu is not None
    cpu = model.cpu or MEASURED_ON.cpu * MEASURED_ON.parameters / model.parameters
    known = MEASURED if model.cpu else GUESSED
    cells = [model.name, f"{model.disk:.2f}", f"{model.gigabytes:.1f}", *_speed(cpu, known)]
    cells += _speed(GPU_ROWS / model.gpu_step * 1000, GUESSED) if model.gpu_step else ["", ""]
    return "| " + " | ".join(cells) + " |"


def _speed(rate: float, known: str) -> list[str]:
    mark = " (guess)" if known == GUESSED else ""
    return [f"{float(f'{rate:.2g}'):,.0f} ({known})", f"{duration(drawn() / rate)}{mark}"]


def table() -> str:
    heads = ["model", "GB of disk", "GB of memory"]
    heads += [cell for where in ("two CPU cores", "one GPU") for cell in (f"tokens/s, {where}", "sampling there")]
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *map(row, MODELS)])


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda _: table(), page), encoding="utf-8")


if __name__ == "__main__":
    main()
