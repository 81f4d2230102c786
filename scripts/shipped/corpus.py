"""Makes the shipped model's training data: tokenizer, packed token arrays, prompts.

    python -m scripts.shipped.corpus --data FOLDER --out FOLDER

Writes `tokenizer/`, `{train,valid,test}_chat.npy`, `train_stories.npy` (uint16, documents back to
back, each `<|begin|> … <|end|>`), `prompts_{train,valid,test}.jsonl` and `corpus.json` (counts).
Everything follows from the files and one seed. Stories are capped: the simple-English ones come
whole, the old books only fill up, since their English is not what the model shall speak.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from scripts.shipped.chat_tokenizer import BEGIN, CONTEXT, END, render, train_tokenizer
from scripts.shipped.clean import clean_turn
from scripts.shipped.dialogues import Dialogue, Message, Split, read_dialogues, read_rows
from scripts.shipped.prompts import make_prompts

STORY_FILES = ("stories_simple_english", "stories_pd_childrens_books")
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
PROMPTS: dict[Split, int] = {"train": 24_000, "valid": 2_000, "test": 2_000}
_CHUNK_BYTES = 3_200  # of story text in one document: about 900 tokens, inside one context


def main(
    data: Annotated[Path, typer.Option(help="folder with chat_*.jsonl.gz and stories_*.jsonl.gz")],
    out: Annotated[Path, typer.Option(help="folder to write")],
    story_tokens: Annotated[int, typer.Option(help="upper bound on story tokens")] = 5_000_000,
    seed: int = 0,
) -> None:
    """Prepare tokenizer, token arrays and prompts from the chat and story corpora."""
    rng = random.Random(seed)
    out.mkdir(parents=True, exist_ok=True)
    dialogues = read_dialogues(data)
    parts = {s: [d for d in dialogues if d.split == s] for s in SPLITS}
    stories = _read_stories(data, limit_bytes=story_tokens * 5)

    turns = [turn for dialogue in parts["train"] for turn in dialogue.turns]
    tokenizer = train_tokenizer([*turns, *stories[:1500]])
    tokenizer.save_pretrained(out / "tokenizer")

    report: dict[str, object] = {"seed": seed, "dialogues": {s: len(parts[s]) for s in SPLITS}}
    for split in SPLITS:
        rendered = [render(assigned_messages(d, rng)) for d in parts[split]]
        rng.shuffle(rendered)
        report[f"{split}_chat"] = _write(out / f"{split}_chat.npy", rendered, tokenizer)
        prompts = make_prompts(parts[split], PROMPTS[split], rng, lambda m: _token_count(m, tokenizer))
        _write_lines(out / f"prompts_{split}.jsonl", prompts)
        report[f"{split}_prompts"] = len(prompts)
    documents = [f"{BEGIN}{story}{END}" for story in stories]
    rng.shuffle(documents)
    report["train_stories"] = _write(out / "train_stories.npy", documents, tokenizer, limit=story_tokens)
    (out / "corpus.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def assigned_messages(dialogue: Dialogue, rng: random.Random) -> list[Message]:
    """The dialogue with roles (random where symmetric) and, half of the time, a system line."""
    assistant = rng.randrange(2) if dialogue.symmetric else 1
    return dialogue.messages(assistant, dialogue.system_for(assistant, rng))


def pack(documents: Sequence[str], tokenizer: PreTrainedTokenizerFast, limit: int | None = None) -> NDArray[np.uint16]:
    """Tokens of all documents in a row, (N,), no document longer than the context, N <= limit."""
    rows: list[NDArray[np.uint16]] = []
    total = 0
    for start in range(0, len(documents), 4096):
        batch = list(documents[start : start + 4096])
        for ids in tokenizer(batch, add_special_tokens=False)["input_ids"]:
            rows.append(np.asarray(ids[:CONTEXT], dtype=np.uint16))
            total += len(rows[-1])
            if limit is not None and total > limit:
                return np.concatenate(rows[:-1])
    return np.concatenate(rows) if rows else np.zeros(0, dtype=np.uint16)


def chunks(text: str, size: int = _CHUNK_BYTES) -> list[str]:
    """Paragraphs of a story or book joined into pieces of at most about `size` characters."""
    pieces = [""]
    for paragraph in text.split("\n\n"):
        paragraph = clean_turn(paragraph)
        if pieces[-1] and len(pieces[-1]) + len(paragraph) > size:
            pieces.append("")
        pieces[-1] = f"{pieces[-1]}\n{paragraph}".strip()
    return [piece for piece in pieces if piece]


def _read_stories(data: Path, limit_bytes: int) -> list[str]:
    """Pieces of stories, the simple English first, up to `limit_bytes` in all."""
    stories: list[str] = []
    size = 0
    for name in STORY_FILES:
        pieces = [p for row in read_rows(data / f"{name}.jsonl.gz") for p in chunks(row["text"])]
        random.Random(0).shuffle(pieces)
        for piece in pieces:
            size += len(piece)
            if size > limit_bytes:
                return stories
            stories.append(piece)
    return stories


def _write(
    path: Path,
    documents: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    limit: int | None = None,
) -> dict[str, int | float]:
    tokens = pack(documents, tokenizer, limit)
    np.save(path, tokens)
    begin = tokenizer.convert_tokens_to_ids(BEGIN)
    packed = int((tokens == begin).sum())
    size = sum(len(d.encode()) for d in documents[:packed])
    return {
        "documents": packed,
        "tokens": len(tokens),
        "bytes_per_token": round(size / max(len(tokens), 1), 3),
    }


def _token_count(messages: list[Message], tokenizer: PreTrainedTokenizerFast) -> int:
    return len(tokenizer(render(messages), add_special_tokens=False)["input_ids"]) + 1


def _write_lines(path: Path, prompts: Iterable[list[Message]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for messages in prompts:
            file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    typer.run(main)
