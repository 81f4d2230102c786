"""A random model whose tokenizer spells what it does not know in bytes, as Llama 2's and Gemma's do.

Whatever it samples is mostly bytes that are no UTF-8, in every order there is: hostile to whoever turns tokens into
text. It is small and knows nothing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.vocabularies import byte_fallback

TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def save_byte_fallback_model(folder: Path) -> None:
    """Weights and tokenizer, as transformers saves them."""
    torch.manual_seed(0)
    tokenizer = byte_fallback()
    tokenizer.chat_template = TEMPLATE
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
