"""Sliding windows, caps, sinks, multipliers, layers without positions: equal to transformers, beyond the window too."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from mavis_core.api.config import EngineConfig
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.attention import Chunk, PrefillAttention
from mavis_core.model.backends import newest, sdpa
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.policy import Policy
from mavis_core.model.windows import smallest_window
from mavis_core.offline import generate
from tests.architectures import SPECIAL, WINDOW, special_config, special_policy, transformers_own
from tests.models import EOS, VOCAB, assert_idle

LONG = [3 + (7 * i) % (VOCAB - 3) for i in range(3 * WINDOW + 2)]
PROMPTS = [LONG, [5, 9, 4], [*LONG[:-5], 6]]
ANSWER = WINDOW + 3
TEXT = torch.tensor(LONG)


@cache
def greedy(architecture: str, prompt: tuple[int, ...]) -> list[int]:
    text = torch.tensor([prompt])
    found = transformers_own(special_policy(architecture)).generate(
        text, attention_mask=torch.ones_like(text), do_sample=False, max_new_tokens=ANSWER
    )
    return found[0, len(prompt) :].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("architecture", SPECIAL)
def test_greedy_equals_generate_beyond_the_window(architecture: str) -> None:
    """In chunks, mixed with decoding rows, and once more from the prefix cache; no row longer than the model's."""
    policy = special_policy(architecture)
    engine = Engine(policy, [], EngineConfig(block_size=3, max_num_seqs=3, max_num_batched_tokens=11))
    assert engine.info.max_model_len == policy.max_model_len == 128
    for prompts in (PROMPTS, [LONG]):
        answers = generate(engine, prompts, SamplingParams(temperature=0, max_tokens=ANSWER))
        for prompt, (answer,) in zip(prompts, answers, strict=True):
            assert answer.token_ids == greedy(architecture, tuple(prompt))
    assert_idle(engine)
    different = {token for prompt in PROMPTS for token in greedy(architecture, tuple(prompt))}
    assert len(different) > 3, "the model says something"


@pytest.mark.parametrize("architecture", SPECIAL)
def test_logits_equal_those_of_transformers(architecture: str) -> None:
    policy = special_policy(architecture)
    with torch.inference_mode():
        expected = transformers_own(policy)(TEXT[None], use_cache=False).logits[0]
        plain = policy.logits(policy.backbone.forward_plain(TEXT))
        found = policy.logits(in_parts(policy, (10, 19, 25)))
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def in_parts(policy: Policy, ends: tuple[int, ...], block: int = 3) -> Tensor:
    """Hidden states of TEXT, read up to each of ``ends``, then token by token."""
    model, count = policy.backbone, len(TEXT)
    pool = KVPool(model.cache, -(-count // block), block, torch.float32, torch.device("cpu"))
    table = torch.randperm(pool.num_blocks, generator=torch.Generator().manual_seed(0))[None]
    pool.clear(table[0])
    found, start = [], 0
    for end in ends:
        at = torch.arange(start, end)
        slots = table[0, at // block] * block + at % block
        step = PrefillAttention(pool, slots, [Chunk(0, end - start, start, table[:, : -(-end // block)])])
        found.append(model.forward(TEXT[start:end], at, step))
        start = end
    for at in range(start, count):
        decode = newest(sdpa, pool, table, torch.tensor([at + 1]), at + 1)
        found.append(model.forward(TEXT[at : at + 1], torch.tensor([at]), decode))
    return torch.cat(found)


def test_a_window_is_what_makes_the_difference() -> None:
    """Without it the same weights say something else, so the tests above can fail."""
    for architecture in SPECIAL:
        policy = special_policy(architecture)
        if smallest_window(policy.backbone.config) is None:
            continue
        wide = special_config(architecture)
        wide.sliding_window = 1000
        model = type(policy.model)(wide).eval()
        model.load_state_dict(policy.model.state_dict())
        with torch.inference_mode():
            narrow = policy.model(TEXT[None], use_cache=False).logits[0, -1]
            assert not torch.allclose(model(TEXT[None], use_cache=False).logits[0, -1], narrow, atol=1e-2), architecture


def test_of_a_model_that_also_sees_pictures_the_text_part_is_served() -> None:
    torch.manual_seed(0)
    vision = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = Gemma3Config(
        text_config=special_config("gemma3").to_dict(), vision_config={**vision, "image_size": 28, "patch_size": 14}
    )
    policy = Policy(Gemma3ForConditionalGeneration(config).eval(), None, "seeing")
    engine = Engine(policy, [], EngineConfig(block_size=3, max_num_batched_tokens=40))
    ((answer,),) = generate(engine, [LONG], SamplingParams(temperature=0, max_tokens=ANSWER, ignore_eos=True))
    model: Any = transformers_own(policy)
    model.generation_config.eos_token_id = None
    found = model.generate(TEXT[None], attention_mask=torch.ones(1, len(LONG)), do_sample=False, max_new_tokens=ANSWER)
    assert answer.token_ids == found[0, len(LONG) :].tolist()
    assert EOS not in LONG
