from __future__ import annotations

from types import SimpleNamespace

from server.token_text import TokenText, byte_alphabet
from tests.server.fake_engine import EOS, FakeTokenizer


def test_byte_level_tokens_keep_their_bytes() -> None:
    token_text = TokenText(FakeTokenizer())
    assert token_text(ord("a")) == ("a", [ord("a")])
    assert token_text(0xE2) == ("\N{REPLACEMENT CHARACTER}", [0xE2])
    assert token_text(EOS) == ("", [])
    assert sorted(byte_alphabet().values()) == list(range(256))


def test_sentencepiece_lone_bytes() -> None:
    class Pieces(FakeTokenizer):
        def __init__(self) -> None:
            super().__init__()
            self.backend_tokenizer = SimpleNamespace(decoder="Sequence")

        def convert_ids_to_tokens(self, ids: object) -> list[str]:
            return ["<0xE2>"]

    assert TokenText(Pieces())(7)[1] == [0xE2]
