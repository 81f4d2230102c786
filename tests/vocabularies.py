"""Small tokenizers of the kinds that models come with, made from nothing; torch-free.

Each knows words, has every byte, and <s> and </s> (or <eos>) as special tokens.
"""

from __future__ import annotations

from collections.abc import Callable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = ["hello world how are you", "the the and a and the", "so it goes. so it goes\nor not"] * 3


def symbols() -> dict[int, str]:
    """Byte -> the printable character that stands for it in byte-level vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte in the order of byte values, then <eos> = 256."""
    backend = Tokenizer(models.BPE(vocab={symbol: b for b, symbol in symbols().items()}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


def byte_level() -> PreTrainedTokenizerFast:
    """As of GPT-2, Llama 3 and Qwen: merges over bytes."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


def byte_fallback() -> PreTrainedTokenizerFast:
    """As of Llama 2 and early Mistral: sentencepiece's words, <s> and a space before the first, bytes for the rest."""
    words = ["▁", "▁the", "▁a", "the", "a", "n", "d", "▁n", "h", "e", "l", "o", "▁▁", ".", "|", ">", "<"]
    merges = [("▁", "a"), ("▁", "n"), ("▁", "▁")]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    vocab = {token: i for i, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", tokens.index("<s>"))])
    backend.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def metaspace() -> PreTrainedTokenizerFast:
    """As of T5 and Llama without bytes: sentencepiece's words alone, the space before the first dropped on decoding."""
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    backend.train_from_iterator([*TEXTS, "é 😀"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def word_pieces() -> PreTrainedTokenizerFast:
    """As of BERT: pieces that go on with a word are marked, not those that begin one."""
    backend = Tokenizer(models.WordPiece({w: i for i, w in enumerate(["[UNK]", "the", "##re", "a", "##s", ".", "##"])}))
    backend.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def suffixes() -> PreTrainedTokenizerFast:
    """As of the first GPT: pieces that end a word are marked."""
    vocab = {w: i for i, w in enumerate(["<unk>", "hel", "lo</w>", "the</w>", "a</w>", "so", "</w>"])}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.decoder = decoders.BPEDecoder()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


# The three kinds that models served here have.
KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte_level": byte_level,
    "byte_fallback": byte_fallback,
    "metaspace": metaspace,
}
ODD_KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {"word_pieces": word_pieces, "suffixes": suffixes}
