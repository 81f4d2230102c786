"""Real models on long prompts: the engine's greedy answers are those of transformers' ``generate()``, in float32.

    python -m benchmarks.long_prompts --model FOLDER --out benchmarks/results/long_prompts/NAME.json

The prompts are stretches of this repository's licence, read in chunks and decoded together; ``generate()`` runs
alone on a copy of its own with its own attention. Nothing is timed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from tqdm import tqdm
from transformers import AutoModelForCausalLM

from benchmarks.machine import describe
from mavis_core.api.config import EngineConfig
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.model.windows import layer_windows
from mavis_core.offline import generate

TEXT = Path(__file__).parents[1] / "LICENSE"
CPU = torch.device("cpu")


def stretches(policy: Policy, length: int, count: int) -> list[list[int]]:
    """``count`` prompts of ``length`` tokens, begun at equal distances."""
    assert policy.tokenizer is not None
    tokens = policy.tokenizer.encode(TEXT.read_text(encoding="utf-8"))
    assert len(tokens) > length, f"the text has {len(tokens)} tokens"
    starts = [(len(tokens) - length) * i // count for i in range(count)]
    return [tokens[start : start + length] for start in starts]


def ours(policy: Policy, prompts: list[list[int]], tokens: int, chunk: int) -> list[list[int]]:
    longest = len(prompts[0]) + tokens
    engine = Engine(policy, [], EngineConfig(max_model_len=longest, max_num_seqs=8, max_num_batched_tokens=chunk))
    sampling = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    return [choice.token_ids for (choice,) in generate(engine, prompts, sampling)]


def theirs(model: Any, prompt: list[int], tokens: int) -> list[int]:
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens, eos_token_id=None
        )
    return found[0, len(prompt) :].tolist()  # type: ignore[no-any-return]


def main(
    model: Annotated[Path, typer.Option(help="folder as transformers saves it")],
    prompt_tokens: int = 1500,
    tokens: int = 64,
    prompts: int = 2,
    chunk: Annotated[int, typer.Option(help="tokens of one step of the engine")] = 500,
    out: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Compare answer by answer; ends with 1 if any differs."""
    policy = Policy.load(str(model), CPU, torch.float32, model.name)
    asked = stretches(policy, prompt_tokens, prompts)
    answers = ours(policy, asked, tokens, chunk)
    other = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    expected = [theirs(other, prompt, tokens) for prompt in tqdm(asked, desc="generate()")]
    assert policy.tokenizer is not None
    result = {
        **describe(),
        "model": model.name,
        "windows": layer_windows(policy.backbone.config),
        "prompt_tokens": prompt_tokens,
        "tokens": tokens,
        "chunk": chunk,
        "equal": [a == b for a, b in zip(answers, expected, strict=True)],
        "answers": [policy.tokenizer.decode(answer) for answer in answers],
    }
    text = json.dumps(result, indent=1)
    typer.echo(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
    if answers != expected:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
