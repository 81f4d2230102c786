"""Weights of 8 and 4 bits: what they cost in KL, what they save in memory, how fast they decode.

    python -m benchmarks.quantization --model FOLDER --out benchmarks/results/quantization/NAME.jsonl

One line of JSON per arm: the model as it is in float32 and in bfloat16, and each with weights of int8 and int4. The KL
is of the arm's next-token distribution from float32's, in nats, averaged over every token of the texts below; decoding
is the engine's, greedy, the median of some rounds, one arm after the other. For a model that was read from a GGUF file
of 4 bits the KL of int4 says little: its weights have few levels to begin with.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.machine import describe
from mavis_core.api.config import EngineConfig
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.model.quantization import weight_bytes
from mavis_core.offline import generate

CPU = torch.device("cpu")
TEXTS = (
    "The bakery on the corner opens at six. By half past, the first loaves are gone and the owner is already mixing "
    "dough for the second batch, flour up to her elbows and the radio playing quietly behind the counter.",
    "To change a bicycle tube, take the wheel off, let out the rest of the air, and lift one side of the tyre over "
    "the rim with two levers. Pull out the old tube, check the tyre for glass, and fit the new one, slightly inflated.",
    "Dear Anna, thank you for your letter. The garden has been slow this year because of the late frost, but the "
    "beans are climbing now and the plums look promising. Come in August if you can; there will be cake.",
    "def mean(numbers):\n    if not numbers:\n        raise ValueError('no numbers')\n    return sum(numbers) / len("
    "numbers)\n\n\ndef median(numbers):\n    ordered = sorted(numbers)\n    middle = len(ordered) // 2\n",
    "Water boils at a lower temperature in the mountains because the air presses less on its surface. That is why "
    "pasta takes longer there: the water is as hot as it can get, and that is not quite as hot as at the sea.",
    "What do you think about moving the meeting to Thursday? I have asked the others and nobody objected, but the "
    "large room is taken until three, so we would have to start a little later than usual.",
)


@dataclass(frozen=True, slots=True)
class Arm:
    dtype: torch.dtype
    bits: str | None

    def load(self, model: Path) -> Policy:
        policy = Policy.load(str(model), CPU, self.dtype, model.name)
        if self.bits is not None:
            policy.quantize(self.bits)
        policy.pack()
        return policy


ARMS = [Arm(dtype, bits) for dtype in (torch.float32, torch.bfloat16) for bits in (None, "int8", "int4")]


@torch.inference_mode()
def distributions(policy: Policy) -> Tensor:
    """log pi after each token of the texts, (N, V)."""
    assert policy.tokenizer is not None
    texts = [torch.tensor(policy.tokenizer.encode(text)) for text in TEXTS]
    return torch.cat([policy.logits(policy.backbone.forward_plain(text)).log_softmax(1) for text in texts])


def tokens_per_second(policy: Policy, rows: int, tokens: int) -> float:
    """Of whole calls, short prompts included."""
    assert policy.tokenizer is not None
    prompts = [policy.tokenizer.encode(TEXTS[i % len(TEXTS)])[:16] for i in range(rows)]
    engine = Engine(policy, [], EngineConfig(max_model_len=256, max_num_seqs=rows, enable_prefix_caching=False))
    sampling = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    start = time.perf_counter()
    generate(engine, prompts, sampling)
    return rows * tokens / (time.perf_counter() - start)


def main(
    model: Annotated[Path, typer.Option(help="folder as transformers saves it")],
    rounds: int = 3,
    tokens: int = 48,
    out: Annotated[Path | None, typer.Option(help="file to write, one line of JSON per arm")] = None,
) -> None:
    """Load one arm after the other."""
    full = distributions(ARMS[0].load(model))
    lines = []
    for arm in ARMS:
        policy = arm.load(model)
        found = distributions(policy)
        speed = {
            rows: [tokens_per_second(policy, rows, tokens) for _ in range(rounds)] if rounds else [] for rows in (1, 8)
        }
        result = {
            **describe(),
            "model": model.name,
            "dtype": str(arm.dtype).removeprefix("torch."),
            "quantization": arm.bits,
            "positions": len(full),
            "kl_per_token": float((full.exp() * (full - found)).sum(1).mean()),
            "same_most_likely": float((full.argmax(1) == found.argmax(1)).float().mean()),
            "weights_mib": round(weight_bytes(policy.model, policy.output) / 2**20, 1),
            "tokens_per_second": {rows: round(statistics.median(times), 1) for rows, times in speed.items() if times},
        }
        lines.append(json.dumps(result))
        typer.echo(lines[-1])
        del policy
        gc.collect()
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
