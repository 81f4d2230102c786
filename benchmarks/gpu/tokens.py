"""Stage: the engine's tokens on the device against those of the slow loop on the CPU, in float32, for one backend."""

from __future__ import annotations

import copy

import torch

from benchmarks.gpu.record import Record
from benchmarks.shapes import SHAPES, random_head, random_lm, random_policy
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from mavis_core.values.protocol import ValueFunction

CPU = torch.device("cpu")
KINDS = ("unguided", "head", "lm")


def value(kind: str, policy: Policy) -> ValueFunction:
    """The same numbers for every policy."""
    torch.manual_seed(7)
    return random_lm(policy, 128, 1) if kind == "lm" else random_head(policy)


def main() -> None:
    record = Record.of_arguments()
    shape = SHAPES["tiny"]
    slow = random_policy(shape, CPU, torch.float32)
    fast = Policy(copy.deepcopy(slow.model).to(record.device), None, "random")
    tokens, rows, width = (2, 2, 2) if record.rehearse else (24, 5, 11)
    prompts = [[3 + (17 * i + 31 * j * j) % (shape.vocab - 3) for j in range(2 + 9 * i)] for i in range(rows)]
    samplings = [SamplingParams(max_tokens=tokens, seed=i, ignore_eos=True) for i in range(rows)]
    for kind in KINDS:
        guidance = Guidance() if kind == "unguided" else Guidance({"first": 1.0, "third": -0.5}, beta=1.0, top_k=width)
        config = EngineConfig(max_num_seqs=rows, max_num_batched_tokens=13, attention_backend=record.backend)
        found = generate(Engine(fast, [value(kind, fast)], config), prompts, samplings, guidance)
        reference = [value(kind, slow)]
        Engine(slow, reference, EngineConfig(max_num_seqs=rows))  # which binds it to the CPU
        same = sum(
            answer.token_ids == reference_generate(slow, reference, prompt, sampling, guidance, 1.0).tokens
            for prompt, sampling, (answer,) in zip(prompts, samplings, found, strict=True)
        )
        record.add(kind=kind, rows=rows, tokens=tokens, rows_equal=same)
    unequal = [finding["kind"] for finding in record.findings if finding["rows_equal"] != rows]
    if unequal:
        raise SystemExit(f"tokens differ from the CPU's: {', '.join(unequal)}")


if __name__ == "__main__":
    main()
