from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, FalconConfig

from mavis_core.api.errors import LoadError
from mavis_core.model.attention import Chunk, PrefillAttention
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.model.paged_model import PagedModel
from mavis_core.model.policy import Policy
from tests.architectures import special_model
from tests.models import ARCHITECTURES, tiny_config, tiny_model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_that_is_not_ours_is_found_by_the_probe(dtype: torch.dtype) -> None:
    model = PagedModel(tiny_model("llama").to(dtype), "bent")
    plain = model.forward

    def bent(tokens: torch.Tensor, positions: torch.Tensor, attention: Any) -> torch.Tensor:
        return plain(tokens, positions + positions % 2, attention)

    model.probe()
    model.forward = bent  # type: ignore[method-assign]
    with pytest.raises(LoadError, match=r"bent: paged decoding differs .* this llama model is not supported"):
        model.probe()


def test_a_policy_that_rescales_its_logits_is_refused() -> None:
    model = tiny_model("llama")
    plain = model.forward

    def scaled(**kwargs: Any) -> Any:
        out = plain(**kwargs)
        out.logits = out.logits * 2
        return out

    model.forward = scaled
    with pytest.raises(LoadError, match="rescaled: its logits differ from output layer x last hidden state"):
        Policy(model, None, "rescaled")


def test_layers_that_do_not_ask_for_the_windows_of_the_config_are_refused() -> None:
    model = special_model("gemma3")
    model.model.layers[1].self_attn.sliding_window = None
    with pytest.raises(LoadError, match=r"x: gemma3_text is not supported: its layers ask for .*\[8, None, None, 8\]"):
        PagedModel(model, "x").probe()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (FalconConfig(), "2 of its 2 layers do not go through transformers' attention interface"),
        (BloomConfig(), "too many values to unpack"),
    ],
)
def test_an_attention_of_its_own_is_refused_in_one_line(config: Any, message: str) -> None:
    config.update({"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4})
    config.update({"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2})
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(LoadError, match=rf"^x: {config.model_type} is not supported: {message}[^\n]*$"):
        PagedModel(model, "x").probe()


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("is_causal", False, "its attention is bidirectional; only causal attention is served"),
        ("position_bias", torch.zeros(1), "its attention layers ask for position_bias, which is not supported"),
    ],
)
def test_what_layers_ask_for_and_is_not_known_is_refused(attribute: str, value: Any, message: str) -> None:
    model = tiny_model("llama")
    attention = model.model.layers[0].self_attn
    plain = attention.forward
    attention.forward = lambda *args, **kwargs: plain(*args, **kwargs, **{attribute: value})
    with pytest.raises(LoadError, match=f"x: llama is not supported: {message}"):
        PagedModel(model, "x").probe()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prefill_in_parts_equals_transformers_own_forward(architecture: str) -> None:
    """Two rows flattened into one forward, over shuffled blocks, in chunks of every kind."""
    model = PagedModel(tiny_model(architecture), "x")
    block, texts = 3, [torch.arange(3, 14), torch.arange(40, 47)]
    tables = [torch.tensor([[7, 2, 5, 0]]), torch.tensor([[1, 6, 3]])]
    pool = KVPool(model.cache, 8, block, torch.float32, torch.device("cpu"))
    pool.clear(torch.arange(8))
    found: list[list[torch.Tensor]] = [[], []]
    with torch.inference_mode():
        for parts in ([(0, 4), (0, 1)], [(4, 5), (1, 6)], [(5, 11), (6, 7)]):
            tokens, positions, slots = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
            chunks: list[Chunk] = []
            for text, table, (start, stop) in zip(texts, tables, parts, strict=True):
                at = torch.arange(start, stop)
                first = sum(len(t) for t in tokens)
                tokens.append(text[start:stop])
                positions.append(at)
                slots.append(table[0, at // block] * block + at % block)
                chunks.append(Chunk(first, first + stop - start, start, table[:, : -(-stop // block)]))
            attention = PrefillAttention(pool, torch.cat(slots), chunks)
            hidden = model.forward(torch.cat(tokens), torch.cat(positions), attention)
            for row, chunk in enumerate(chunks):
                found[row].append(hidden[chunk.start : chunk.stop])
        for row, text in enumerate(texts):
            torch.testing.assert_close(torch.cat(found[row]), model.forward_plain(text), rtol=1e-4, atol=1e-4)


def test_the_cache_spec_is_read_from_the_config() -> None:
    assert CacheSpec.of(tiny_config("llama")) == CacheSpec(2, 2, 4)
    assert CacheSpec.of(tiny_config("gpt2")) == CacheSpec(2, 6, 4)
    assert CacheSpec(2, 3, 5).numbers_per_token == 60
