"""A text that is called too long unread is too long when it is read, for every kind of tokenizer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

from server.app import create_app
from server.settings import Settings
from server.text.bound import characters_per_token
from tests.models import byte_tokenizer
from tests.server.fake_engine import FakeEngine, FakeTokenizer

CORPUS = ["the cheerful cat sat on the mat    and smiled", "naïve café Ǆ 안녕하세요 ᾂ", "x" * 40]
HARD = [
    " " * 3000,
    "x" * 3000,
    "e\u0301" * 700,
    "\u03b1\u0313\u0300\u0345" * 700,  # four characters, one when composed
    "\u1112\u1161\u11ab" * 700,
    "🙂" * 500,
    "\u0000" * 500,
    "the cat " * 400,
]


def byte_level(normalizer: Any = None, splitter: Any = None) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizer
    backend.pre_tokenizer = splitter or pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(CORPUS * 20, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet))
    return backend


def byte_fallback(complete: bool = True) -> Tokenizer:
    """As sentencepiece models come out of their conversion."""
    spelled = [f"<0x{byte:02X}>" for byte in range(256 if complete else 255)]
    pieces = ["<unk>", *spelled, "▁", "t", "h", "e", "th", "the"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    model = models.BPE(vocab, [("t", "h"), ("th", "e")], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return backend


def added(**how: bool) -> Tokenizer:
    backend = byte_level()
    backend.add_special_tokens([AddedToken("<end>", **how)])
    return backend


def split(behavior: str) -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Split(" ", behavior), pre_tokenizers.ByteLevel(False)])


BOUNDED: dict[str, Callable[[], Tokenizer]] = {
    "bytes": lambda: byte_tokenizer().backend_tokenizer,
    "byte-level": byte_level,
    "NFC": lambda: byte_level(normalizers.NFC()),
    "isolated": lambda: byte_level(splitter=split("isolated")),
    "byte fallback": byte_fallback,
    "added": added,
}
UNBOUNDED: dict[str, Callable[[], Tokenizer]] = {
    "word pieces": lambda: Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")),
    "a bare BPE": lambda: Tokenizer(models.BPE({"a": 0}, [])),
    "a byte is missing": lambda: byte_fallback(complete=False),
    "strips": lambda: byte_level(normalizers.Strip()),
    "shortens": lambda: byte_level(normalizers.Replace("  ", " ")),
    "drops spaces": lambda: byte_level(splitter=split("removed")),
    "takes spaces along": lambda: added(rstrip=True),
}


def holding(backend: Any) -> Any:
    return SimpleNamespace(backend_tokenizer=backend)


@pytest.mark.parametrize("kind", BOUNDED)
def test_no_text_has_fewer_tokens(kind: str) -> None:
    backend = BOUNDED[kind]()
    most = characters_per_token(holding(backend))
    assert most is not None
    draw = random.Random(7)
    mixed = ["".join(draw.choice("".join(HARD + CORPUS)) for _ in range(2000)) for _ in range(20)]
    for text in HARD + mixed:
        assert len(backend.encode(text, add_special_tokens=False).ids) * most >= len(text), text[:20]


@pytest.mark.parametrize("kind", UNBOUNDED)
def test_nothing_is_claimed_where_text_may_vanish(kind: str) -> None:
    assert characters_per_token(holding(UNBOUNDED[kind]())) is None


def test_an_unknown_backend_has_no_bound() -> None:
    assert characters_per_token(holding(object())) is None


class CountingTokenizer(FakeTokenizer):
    """A tokenizer of bytes that knows how much it has read."""

    def __init__(self) -> None:
        super().__init__()
        self.backend_tokenizer = byte_tokenizer().backend_tokenizer
        self.read = 0

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        self.read += len(text)
        return super().encode(text, add_special_tokens=add_special_tokens)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/completions", {"prompt": ["x" * 30_000]}, "prompt"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * 30_000}]}, "messages"),
        ("/v1/responses", {"input": "x" * 30_000}, "input"),
    ],
)
async def test_hopeless_prompts_are_refused_unread(path: str, body: Any, field: str) -> None:
    tokenizer = CountingTokenizer()
    app = create_app(Settings(database=SecretStr("sqlite://"), allowed_hosts=("*",)), FakeEngine(), lambda: tokenizer)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            answer = await client.post(path, json=body)
            assert answer.status_code == 400
            error = answer.json()["error"]
            assert (error["code"], error["param"]) == ("context_length_exceeded", field)
            assert "at least 30" in error["message"] or "at least 60" in error["message"], json.dumps(error)
            assert tokenizer.read == 0
            if path != "/v1/responses":
                cut = await client.post(path, json=body | {"truncate_prompt_tokens": 5, "max_tokens": 2})
                assert cut.status_code == 200
            assert (await client.post("/tokenize", json={"prompt": "x" * 30_000})).json()["count"] == 30_000
