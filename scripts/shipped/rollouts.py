"""Samples of the policy with every objective's reward: what the values that ship learn from.

    python -m scripts.shipped.rollouts --model FOLDER --prompts prompts_train.jsonl --out rollouts.safetensors

Flat rollouts: one answer per prompt, T = 1, k = 40, never empty (guided decoding masks the first stop token
too, so values are trained under the rule they are used with).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import load_file, save_file
from torch import Tensor

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from value_models.loading import build_engine
from value_models.prompts import Prompt
from value_models.rewards.registry import load, names

TOP_K = 40
MAX_TOKENS = 80


def read_prompts(path: Path, count: int) -> list[list[dict[str, str]]]:
    """The first ``count`` conversations, each ending with a user turn."""
    with path.open() as lines:
        return [json.loads(line)["messages"] for line, _ in zip(lines, range(count), strict=False)]


def encode_chat(engine: Engine, messages: list[dict[str, str]]) -> list[int]:
    """Token ids of a conversation up to where the answer begins."""
    assert engine.tokenizer is not None
    text = engine.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return engine.tokenizer.encode(text, add_special_tokens=False)


def answer(
    engine: Engine,
    conversations: list[list[dict[str, str]]],
    guidance: Guidance | None = None,
    seed: int = 0,
    max_tokens: int = MAX_TOKENS,
) -> tuple[list[list[int]], list[CompletionOutput]]:
    """One sample per conversation under one guidance: (prompt ids, completions); unguided rows run k = 40 too."""
    prompts = [encode_chat(engine, messages) for messages in conversations]
    samplings = [
        SamplingParams(max_tokens=max_tokens, min_tokens=1, top_k=TOP_K, seed=seed * 1_000_003 + i)
        for i in range(len(prompts))
    ]
    found = generate(engine, prompts, samplings, guidance, progress=True)
    return prompts, [choices[0] for choices in found]


def score(conversations: list[list[dict[str, str]]], texts: list[str]) -> Tensor:
    """Raw rewards of every objective, (N, M) float32, in the order of ``names()``."""
    prompts = [Prompt.chat(messages) for messages in conversations]
    return torch.tensor([load(name).score(prompts, texts) for name in names()], dtype=torch.float32).T.contiguous()


def main(
    model: Annotated[Path, typer.Option(help="policy folder")],
    prompts: Annotated[Path, typer.Option(help="JSON lines of conversations")],
    out: Annotated[Path, typer.Option(help="safetensors file to write")],
    count: int = 8000,
    seed: int = 1,
    rows: int = 32,
) -> None:
    """Sample, label, store."""
    engine = build_engine(str(model), [], EngineConfig(max_num_seqs=rows))
    conversations = read_prompts(prompts, count)
    encoded, completions = answer(engine, conversations, seed=seed)
    texts = [completion.text for completion in completions]
    sequences = [torch.tensor(p + c.token_ids, dtype=torch.int32) for p, c in zip(encoded, completions, strict=True)]
    arrays = {
        "tokens": torch.cat(sequences),
        "lengths": torch.tensor([len(s) for s in sequences]),
        "prompt_lengths": torch.tensor([len(p) for p in encoded]),
        "rewards": score(conversations, texts),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, out, metadata={"objectives": json.dumps(names()), "seed": str(seed), "prompts": prompts.name})
    mean, std = arrays["rewards"].mean(0), arrays["rewards"].std(0)
    for name, m, s in zip(names(), mean.tolist(), std.tolist(), strict=True):
        print(f"{name}: mean {m:.3f} std {s:.3f}")


def read_rollouts(path: Path) -> tuple[list[Tensor], Tensor, Tensor]:
    """Sequences (T_i,) int64, prompt lengths (N,), rewards (N, M)."""
    arrays = load_file(path)
    return list(arrays["tokens"].long().split(arrays["lengths"].tolist())), arrays["prompt_lengths"], arrays["rewards"]


if __name__ == "__main__":
    typer.run(main)
