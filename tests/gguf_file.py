"""A tiny random Llama with a byte tokenizer, as a GGUF file that llama.cpp's own writer wrote and as a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

SPECIAL = ["<|im_start|>", "<|im_end|>"]
TOKENS = [*bytes_to_unicode().values(), "hi", *SPECIAL]
END = len(TOKENS) - 1
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% endif %}"
)
HEADS, KV_HEADS, LAYERS = 4, 2, 2


def tiny_llama() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=128,
        initializer_range=0.3,
        eos_token_id=END,
        bos_token_id=END,
        pad_token_id=END,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


def write_gguf(path: Path, ends: Mapping[str, int] | None = None, template: str | None = TEMPLATE) -> Any:
    """The file, its down projections in blocks of 8 bits; the model that it holds.

    ``ends`` are end tokens beside that of a text: "eot" of a turn, "eom" of a call.
    """
    model = tiny_llama()
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, model.config)
    for end, token in (ends or {}).items():
        writer.add_uint32(f"tokenizer.ggml.{end}_token_id", token)
    if template is not None:
        writer.add_chat_template(template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        stem, _, suffix = name.rpartition(".")
        numbers = tensor.numpy()
        for projection, heads in (("q_proj", HEADS), ("k_proj", KV_HEADS)):
            if projection in name:
                numbers = _rotated_halves(numbers, heads)
        kind = None
        if "down_proj" in name:
            kind = gguf.GGMLQuantizationType.Q8_0
            numbers = gguf.quantize(numbers, kind)
            tensor.copy_(torch.from_numpy(gguf.dequantize(numbers, kind)))
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", numbers, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _describe(writer: Any, config: Any) -> None:
    writer.add_name("Tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(TOKENS) - 2) + [gguf.TokenType.CONTROL] * 2)
    writer.add_token_merges(["h i"])
    writer.add_eos_token_id(END)


def _rotated_halves(weight: Any, heads: int) -> Any:
    """Rows as GGUF has those of queries and keys: the two halves of each head interleaved."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))
