"""The corpus script on a few made-up dialogues: no leak between splits, template = transformers', whole arrays."""

from __future__ import annotations

import gzip
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
import torch

from scripts.shipped import corpus
from scripts.shipped.chat_tokenizer import BEGIN, END, SPECIALS, render, train_tokenizer
from scripts.shipped.clean import clean_turn
from scripts.shipped.dialogues import Dialogue, read_dialogues
from scripts.shipped.prompts import make_prompts
from scripts.shipped.token_rows import epochs, whole_rows

WORDS = [
    "music",
    "movies",
    "Boston",
    "drums",
    "yes",
    "no",
    "maybe",
    "really",
    "they",
    "play",
    "it",
    "well",
    "we",
    "saw",
]


def turns(rng: random.Random, count: int) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) for _ in range(count)]


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = random.Random(0)
    selves = [{"topic": "rap_hiphop", "turns": turns(rng, 10)} for _ in range(150)]
    write(tmp_path, "chat_selfdialogue", [*selves, selves[0], {"topic": "pop", "turns": ["alone"]}])
    sgd = [{"services": ["Hotels_1", "Buses_2"], "first": "USER", "turns": turns(rng, 8)} for _ in range(60)]
    write(tmp_path, "chat_sgd", sgd)
    topical = [{"turns": [{"agent": str(1 + i % 2), "text": t} for i, t in enumerate(turns(rng, 9))]}] * 1
    write(tmp_path, "chat_topical", topical)
    spoken = [[1, "hi"], [1, "there"], [2, "hello"], [1, "i like tea"]]
    persona = {"p1": ["I am old."], "p2": ["I am young."], "turns": spoken}
    broken = {"p1": [], "p2": [], "turns": [[1, "hi, i'm [user 1]"], [2, "hello"]]}
    write(tmp_path, "chat_synthpersona", [persona, broken])
    coffee = [{"turns": [["user", t], ["assistant", "coming up"]]} for t in turns(rng, 40)]
    write(tmp_path, "chat_tm4_coffee", coffee)
    write(tmp_path, "stories_simple_english", [{"text": "Once there was a cow.\n\nIt ate grass."}] * 3)
    write(tmp_path, "stories_pd_childrens_books", [{"text": "A long book.\n\n" * 50}])
    return tmp_path


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("i think i'm ok . do you?", "I think I'm ok. Do you?"),
        ("have you seen it", "Have you seen it?"),
        ("what a game", "What a game."),
        ("dont know\\r  thats “fine”…", "Don't know that's \"fine\"..."),
        ("wait... he said 3.5, i.e. less", "Wait... he said 3.5, i.e. less."),
        ("It’s 8:10 am!", "It's 8:10 am!"),
        ("\ufeff ", ""),
    ],
)
def test_cleaning_changes_spelling_marks_and_no_words(raw: str, cleaned: str) -> None:
    assert clean_turn(raw) == cleaned


def test_dialogues_are_distinct_alternate_and_thinned(data: Path) -> None:
    dialogues = read_dialogues(data)
    count = {name: sum(d.corpus == name for d in dialogues) for name in ("selfdialogue", "sgd", "synthpersona")}
    assert count == {"selfdialogue": 150, "sgd": 60, "synthpersona": 1}
    assert 0 < sum(d.corpus == "tm4_coffee" for d in dialogues) < 20
    persona = next(d for d in dialogues if d.corpus == "synthpersona")
    assert persona.turns == ("Hi. There.", "Hello.", "I like tea.")
    assert persona.systems == (("I am old.",), ("I am young.",))


def test_dialogues_that_open_alike_fall_into_one_split() -> None:
    def dialogue(*spoken: str) -> Dialogue:
        return Dialogue("selfdialogue", spoken, True, ((), ()))

    for i in range(50):
        opening = (f"Number {i}.", "Yes.", "Why?")
        assert dialogue(*opening, "So.").split == dialogue(*opening, "No.", "Oh.").split


def test_split_shares_are_two_and_three_per_cent() -> None:
    splits = [Dialogue("sgd", (f"Number {i}.", "Yes."), False, ((), ())).split for i in range(4000)]
    assert 0.012 < splits.count("valid") / 4000 < 0.028
    assert 0.02 < splits.count("test") / 4000 < 0.04


def test_template_equals_render_and_refuses_unknown_roles() -> None:
    tokenizer = train_tokenizer(["Hello there, how are you?"] * 9, vocabulary=300)
    messages = [{"role": r, "content": f" {r} é "} for r in ("system", "assistant", "assistant", "user")]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == render(messages)
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == text + "<|assistant|>"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.apply_chat_template(messages, return_dict=False) == ids
    assert tokenizer.decode(ids) == text
    assert tokenizer.convert_ids_to_tokens(list(range(6))) == list(SPECIALS)
    with pytest.raises(jinja2.TemplateError, match="unknown role: tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_prompts_end_with_the_user_and_keep_their_limits(data: Path) -> None:
    dialogues = read_dialogues(data)
    prompts = make_prompts(dialogues, 60, random.Random(0), lambda m: sum(len(x["content"].split()) for x in m))
    assert len(prompts) == 60
    service = 0
    for messages in prompts:
        spoken = [m for m in messages if m["role"] != "system"]
        assert 1 <= len(spoken) <= 5
        assert spoken[-1]["role"] == "user"
        assert all(a["role"] != b["role"] for a, b in pairwise(spoken))
        service += any(d.corpus == "sgd" and d.turns[0] == spoken[0]["content"] for d in dialogues)
    assert service <= 0.35 * 60


def test_the_script_writes_whole_documents(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "PROMPTS", {"train": 20, "valid": 3, "test": 3})
    out = tmp_path / "out"
    corpus.main(data, out, story_tokens=120)
    tokens = np.load(out / "train_chat.npy")
    report = json.loads((out / "corpus.json").read_text())
    assert tokens.dtype == np.uint16
    assert tokens[0] == SPECIALS.index(BEGIN)
    assert tokens[-1] == SPECIALS.index(END)
    assert report["train_chat"]["documents"] == report["dialogues"]["train"] == int((tokens == 0).sum())
    assert 0 < len(np.load(out / "train_stories.npy")) <= 120
    assert len((out / "prompts_train.jsonl").read_text().splitlines()) == 20


def test_an_epoch_shows_every_document_once_in_a_new_order() -> None:
    documents = [[0, *range(10 * i, 10 * i + 3 + i % 3)] for i in range(1, 14)]
    tokens = torch.tensor([t for document in documents for t in document], dtype=torch.int32)
    length = 7
    stream = epochs(tokens, 0, length, torch.Generator().manual_seed(0))
    count = (len(tokens) - 1) // length
    first = torch.stack([next(stream) for _ in range(count)])
    second = torch.stack([next(stream) for _ in range(count)])
    assert first.shape == (count, length + 1)
    assert not torch.equal(first, second)
    seen = first[:, 1:].flatten().tolist()
    assert len([t for t in seen if t]) == len({t for t in seen if t})
    assert {t for t in seen if t} <= set(tokens.tolist())


def test_whole_rows_predict_every_token_once() -> None:
    rows = whole_rows(torch.arange(23), 7)
    assert rows[:, 1:].flatten().tolist() == list(range(1, 22))
