"""Writes the shipped policy's model card, with a held-out perplexity and samples computed on the spot.

    python -m scripts.shipped.card --model FOLDER --prepared PREPARED [--results training.json]

The samples are the first twenty test prompts, one draw each from one seed: nobody chooses. Perplexity is taken per
dialogue, each alone from its `<|begin|>`, as the model is used, not over packed rows as in training.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer

SAMPLES = 20
_DIALOGUES = """| corpus | source | licence |
|---|---|---|
| self-dialogues | jfainberg/self_dialogue_corpus | BSD-3-Clause |
| Schema-Guided Dialogue | google-research-datasets/dstc8-schema-guided-dialogue | CC BY-SA 4.0 |
| Topical-Chat (valid, test) | alexa/Topical-Chat | CDLA-Sharing-1.0 |
| Synthetic-Persona-Chat (valid, test) | google-research-datasets/Synthetic-Persona-Chat | CC BY 4.0 |
| Taskmaster-4, coffee (a quarter) | google-research-datasets/Taskmaster | CC BY 4.0 |
"""
_TERMS = """
Two of the sources are share-alike: CC BY-SA 4.0 asks that adaptations of the text keep its licence and name its
authors, CDLA-Sharing-1.0 asks the same of the data when it is passed on. Apart from the prompts quoted
below, no text of the corpora is part of this folder."""
_STORIES = """| simple English stories | African and Pratham storybooks, FairytaleQA, TinyStories | \
CC BY 4.0, Apache-2.0, CDLA-Sharing-1.0 |
| children's books | mlschmitt/classic-books-markdown | public domain |
"""


def main(
    model: Annotated[Path, typer.Option(help="model folder; its README.md is written")],
    prepared: Annotated[Path, typer.Option(help="folder written by scripts.shipped.corpus")],
    results: Annotated[Path | None, typer.Option(help="default: training.json in the model folder")] = None,
    seed: int = 0,
) -> None:
    """Measure the model on the held-out dialogues, sample from it, write its card."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    training = json.loads((results or model / "training.json").read_text())
    held_out = held_out_loss(policy, np.load(prepared / "test_chat.npy"), tokenizer)
    with (prepared / "prompts_test.jsonl").open(encoding="utf-8") as lines:
        prompts = [json.loads(next(lines))["messages"] for _ in range(SAMPLES)]
    torch.manual_seed(seed)
    samples = [(messages, _answer(policy, tokenizer, messages)) for messages in prompts]
    (model / "README.md").write_text(_card(training, policy.config, held_out, samples, seed), encoding="utf-8")


def held_out_loss(policy: Any, tokens: np.ndarray[Any, Any], tokenizer: Any) -> float:
    """Mean nats per token over the dialogues in `tokens` (N,), each on its own; `<|begin|>` is given."""
    starts = np.flatnonzero(tokens == tokenizer.bos_token_id)
    documents = sorted(np.split(tokens, starts[1:]), key=len)
    total = 0.0
    for first in range(0, len(documents), 16):
        batch = [torch.from_numpy(d.astype(np.int64)) for d in documents[first : first + 16]]
        ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=-100)
        with torch.inference_mode():
            logits = policy(input_ids=ids.clamp(min=0)[:, :-1], use_cache=False).logits
        total += F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum").item()
    return total / (len(tokens) - len(documents))


def _answer(policy: Any, tokenizer: Any, messages: list[dict[str, str]]) -> str:
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        out = policy.generate(**ids, do_sample=True, temperature=1.0, top_k=40, max_new_tokens=96)
    return str(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))


def _sittings(training: dict[str, Any]) -> str:
    """The run, after those that it went on from."""
    run, before = training["run"], training["went_on_from"]
    made = (
        f"{training['steps']:,} steps of {run['rows'] * run['length']:,} tokens, {training['tokens'] / 1e6:,.1f} M, "
        f"in {training['seconds'] / 60:.1f} minutes"
    )
    return made if before is None else f"{_sittings(before)}; then {made}"


def _card(
    training: dict[str, Any], config: Any, held_out: float, samples: list[tuple[list[dict[str, str]], str]], seed: int
) -> str:
    run, corpus = training["run"], training["corpus"]
    shown = "\n\n".join(
        "\n".join([*(f"    {m['role']}: {m['content']}" for m in messages), f"    > {answer}"])
        for messages, answer in samples
    )
    return f"""# The policy that ships

A small chat language model for trying out steering: small talk and task talk in English, made to load in a second and
answer on any CPU. It knows nothing reliably and is no assistant. It repeats the opinions, mistakes and manners of its
training dialogues and nothing filters what it says.

| | |
|---|---|
| architecture | Llama, {training["parameters"]:,} parameters, hidden {config.hidden_size}, \
{config.num_hidden_layers} layers, {config.num_attention_heads} heads ({config.num_key_value_heads} key-value) |
| tokenizer | own byte-level BPE, 4,096 entries, {corpus["test_chat"]["bytes_per_token"]} bytes per token |
| context | 1,024 tokens, trained on rows of {run["length"]} |
| chat template | system, user, assistant |
| training | {_sittings(training)} |
| hardware | {training["hardware"]}, torch {training["torch"]} |
| recipe | {run["optimizer"]}, peak rate {run["lr"]}, dropout {run["dropout"]}, weight decay {run["weight_decay"]} |
| seed | {run["seed"]} |
| weights kept | {training["best_weights"]}, step {training["best_step"]:,} (lowest validation loss) |
| validation loss, packed rows | {training["valid_loss_saved"]:.3f} nats per token |
| test loss, packed rows | {training["test_loss_saved"]:.3f} nats per token |
| held-out test dialogues, each alone | {held_out:.3f} nats per token, perplexity {math.exp(held_out):.2f} |

## Data

{corpus["dialogues"]["train"]:,} dialogues, {corpus["train_chat"]["tokens"]:,} tokens; split by dialogue, those that \
open alike together: {corpus["dialogues"]["valid"]:,} for validation, {corpus["dialogues"]["test"]:,} for testing.

{_DIALOGUES}{_STORIES if run["story_share"] else ""}{_TERMS}

Made by `scripts/shipped/corpus.py`, `train_policy.py` and `card.py`.

## Twenty samples, not selected

The first twenty test prompts, one draw each, T = 1, k = 40, seed {seed}. The last line of each is the model's.

{shown}
"""


if __name__ == "__main__":
    typer.run(main)
