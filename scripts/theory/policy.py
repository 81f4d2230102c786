"""A token MDP as a real checkpoint: a random Llama over a few letters whose next-token distribution is the MDP's.

Its last hidden state tells all histories apart (random features of the whole text), so a head has what it needs to be
exact, and what it lacks is samples and training. Token 0 ends a text, and is the prompt: behind another token, texts
that repeat that token would all have one state.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mavis_core.model.policy import Policy

END = PROMPT = 0
HIDDEN, HEADS = 128, 16
SHARPNESS = 3.0
"""Of queries and keys: texts of the same letters in another order are told apart by where attention looks. With 64
dimensions, four heads and plain attention, 300 steps leave a head an error 30 times as large.
"""
SPREAD = 1.2
"""Standard deviation of the logits."""


def letter(token: int) -> str:
    return "<end>" if token == END else chr(ord("a") + token)


def write_policy(folder: Path, vocab: int, horizon: int, seed: int) -> None:
    """Write model and tokenizer."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=HIDDEN,
        intermediate_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=horizon + 8,
        initializer_range=HIDDEN**-0.5,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=END,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.mul_(SHARPNESS)
            layer.self_attn.k_proj.weight.mul_(SHARPNESS)
        model.lm_head.weight.mul_(SPREAD / (HIDDEN**0.5 * model.lm_head.weight.std()))  # states have unit RMS
    model.save_pretrained(folder)
    backend = Tokenizer(models.WordLevel({letter(t): t for t in range(vocab)}, unk_token=letter(PROMPT)))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=letter(END)).save_pretrained(folder)


def write_prompts(path: Path, count: int) -> None:
    """The one prompt so many times: as many trees."""
    path.write_text((json.dumps({"prompt": letter(PROMPT)}) + "\n") * count)


@torch.inference_mode()
def read_states(policy: Policy, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Last hidden states (N, D) and logits (N, V) behind the prompt and texts (N, length) int64."""
    ids = torch.cat((torch.full((len(texts), 1), PROMPT), texts), dim=1)
    hidden = policy.backbone.base(input_ids=ids, use_cache=False).last_hidden_state[:, -1].float()
    return hidden, policy.logits(hidden)
