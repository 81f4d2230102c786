"""Stage: whole steps of an engine with a shape's random weights, by one backend: medians, and how near to the limits.

Every row has a prompt of its own; timed are steps in which all rows draw, from the call to the tokens on the host.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.gpu.record import Record
from benchmarks.shapes import OBJECTIVES, SHAPES, Shape, random_head, random_lm, random_policy
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy

PROMPT, WARM, TIMED, LONGEST = 256, 6, 32, 512
DISTINCT = (1, 8, 32, 256)


def steered(count: int, distinct: int) -> list[Guidance]:
    """``count`` guidances, of which so many differ in weights, beta and budget."""
    kinds = [
        Guidance(
            {name: 0.5 + 0.01 * i / (j + 1) for j, name in enumerate(OBJECTIVES)},
            beta=1 + 0.005 * i,
            max_kl_per_token=0.5 + 0.01 * i,
        )
        for i in range(distinct)
    ]
    return [kinds[i % distinct] for i in range(count)]


def step_seconds(engine: Engine, prompts: Sequence[Sequence[int]], guidances: Sequence[Guidance], timed: int) -> Any:
    """Seconds of each timed step."""
    longest = engine.info.max_model_len - len(prompts[0])
    for i, (prompt, guidance) in enumerate(zip(prompts, guidances, strict=True)):
        sampling = SamplingParams(max_tokens=longest, ignore_eos=True, seed=i)
        engine.add(Request(str(i), tuple(prompt), sampling, guidance))
    found: list[float] = []
    full = 0
    while len(found) < timed:
        start = time.perf_counter()
        outputs = engine.step()  # ends with the copy of the tokens to the host
        took = time.perf_counter() - start
        drawn = engine.last_step is not None and engine.last_step.prompt_tokens == 0 and len(outputs) == len(prompts)
        full += drawn
        if drawn and full > WARM:
            found.append(took)
        if outputs and outputs[0].finished:
            raise RuntimeError(f"answers of {longest} tokens ended before {timed} steps were timed")
    for i in range(len(prompts)):
        engine.abort(str(i))
    return found


def bytes_and_flops(policy: Policy, shape: Shape, rows: int, length: float) -> tuple[float, float]:
    """Of one step of the policy: what it must read, weights once and KV of each row, and what it must multiply."""
    weights = sum(p.numel() for p in policy.backbone.base.parameters()) + policy.readout.weight.numel()
    weights -= shape.vocab * shape.hidden  # the embedding, of which a row per token is read
    keys = policy.backbone.cache.numbers_per_token * rows * length
    return (weights + keys) * policy.dtype.itemsize, 2.0 * weights * rows


class Bench:
    """Cells of one shape and backend."""

    def __init__(self, record: Record, policy: Policy) -> None:
        self.record, self.policy = record, policy
        self.shape = SHAPES[record.shape]
        self.prompt, self.timed, self.longest = (8, 2, 32) if record.rehearse else (PROMPT, TIMED, LONGEST)

    def engine(self, value: Any, rows: int) -> Engine:
        config = EngineConfig(
            max_num_seqs=rows,
            max_num_batched_tokens=8192,
            max_model_len=self.longest,
            attention_backend=self.record.backend,
        )
        return Engine(self.policy, [value], config)

    def cell(self, engine: Engine, arm: str, guidances: Sequence[Guidance], **more: Any) -> None:
        rows, vocab = len(guidances), self.shape.vocab
        prompts = [[3 + (17 * i + 31 * j + i * j) % (vocab - 3) for j in range(self.prompt)] for i in range(rows)]
        found = step_seconds(engine, prompts, guidances, self.timed)
        median = statistics.median(found)
        read, flops = bytes_and_flops(self.policy, self.shape, rows, self.prompt + WARM + self.timed / 2)
        last = engine.last_step
        assert last is not None
        self.record.add(
            shape=self.record.shape,
            backend=self.record.backend,
            arm=arm,
            rows=rows,
            step_seconds=median,
            slowest_seconds=max(found),
            tokens_per_s=rows / median,
            policy_seconds=last.policy_forward_seconds,
            value_seconds=last.value_forward_seconds,
            bytes_per_s=read / median,
            flops=flops / median,
            memory_bytes=torch.cuda.max_memory_allocated() if self.record.device.type == "cuda" else 0,
            **more,
        )


def main() -> None:
    record = Record.of_arguments()
    dtype = torch.float32 if record.rehearse else torch.bfloat16
    counts = (1, 2) if record.rehearse else (1, 32, 256)
    policy = random_policy(SHAPES[record.shape], record.device, dtype)
    bench = Bench(record, policy)
    engine = bench.engine(random_head(policy), max(counts))
    for rows in counts:
        bench.cell(engine, "unguided", [Guidance()] * rows)
        bench.cell(engine, "head", steered(rows, 1))
    for distinct in (n for n in DISTINCT if n <= max(counts)):
        bench.cell(engine, "distinct", steered(max(counts), distinct), distinct=distinct)
    engine = bench.engine(random_lm(policy, 128 if record.rehearse else bench.shape.hidden // 4, 2), max(counts))
    for rows in counts:
        bench.cell(engine, "lm", steered(rows, 1))


if __name__ == "__main__":
    main()
