"""A random model whose tokenizer spells what it does not know in bytes, as Llama 2's and Gemma's do.

Whatever it samples is mostly bytes that are no UTF-8, in every order there is: hostile to whoever turns tokens into
text. It is small and knows nothing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SPECIAL = ("<unk>", "<s>", "</s>")
WORDS = ["Hello", "How", "was", "your", "day", "the", "story", "sea", "walk", "you", "I", "am"]
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def save_byte_fallback_model(folder: Path) -> None:
    """Weights and tokenizer, as transformers saves them."""
    torch.manual_seed(0)
    tokenizer = byte_fallback_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def byte_fallback_tokenizer() -> PreTrainedTokenizerFast:
    """All bytes, ASCII letters with and without a space before, a few whole words."""
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(33, 127))]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        grown = "▁"
        for letter in word:
            if grown + letter not in pieces:
                pieces.append(grown + letter)
                merges.append((grown, letter))
            grown += letter
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    core = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
