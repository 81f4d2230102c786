"""The engine on every device there is: what it draws on a GPU is what the slow loop draws on the CPU.

The same tests run on the CPU, where they rehearse themselves. They ask for torch, transformers and pytest alone, since
a machine with a GPU may have no more: ``docs/architecture.md`` lists them and says how to run them there.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import TokenLogprobs
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from mavis_core.sample.noise import gumbel, position_keys, token_hashes
from mavis_core.timing import StepTimer
from mavis_core.values.protocol import ValueFunction
from tests.models import (
    VOCAB,
    assert_idle,
    byte_tokenizer,
    head_value,
    lm_value,
    mixed_values,
    q_lm_value,
    request,
    run,
    tiny_model,
    tiny_policy,
)
from tests.structures import byte_model

CUDA = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]
PROMPT = [3 + (7 * i + i * i) % (VOCAB - 3) for i in range(23)]
STEERED = [
    Guidance({"a": 2.0, "b": -1.0}, beta=2.0, top_k=11),
    Guidance({"c": 2.0}, beta=3.0, top_k=7),
    Guidance({"e": 2.0, "b": 1.0}, beta=3.0, top_k=7),
    Guidance({"a": 1.0, "d": 3.0}, beta=2.0, top_k=5, max_kl_per_token=0.3),
]
PLAIN: list[dict[str, Any]] = [
    {"temperature": 0},
    {},
    {"temperature": 1.3, "top_k": 5},
    {"top_p": 0.7, "min_p": 0.05, "presence_penalty": 0.7, "repetition_penalty": 1.3, "logit_bias": {3: 4.0}},
]
ASKED = [(sampling, Guidance()) for sampling in PLAIN] + [
    (sampling, guidance) for sampling in PLAIN[:2] for guidance in STEERED
]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=CUDA)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


def engine(device: torch.device, dtype: torch.dtype = torch.float32, **config: Any) -> Engine:
    """Of models of its own: moving shared ones would move them under other tests."""
    policy = Policy(tiny_model("llama").to(device=device, dtype=dtype), None, "tiny")
    heads: list[ValueFunction] = [head_value(policy, "a", seed=1), head_value(policy, "b", seed=2)]
    values = [*heads, lm_value("llama", "c", "d"), q_lm_value("llama", "e")]
    return Engine(policy, values, EngineConfig(**{"block_size": 5, "max_num_seqs": 17, **config}))


def asked(tokens: int = 5) -> list[tuple[list[int], SamplingParams, Guidance]]:
    return [
        (PROMPT[: 3 + 2 * i], SamplingParams(**{"max_tokens": tokens, "seed": 40 + i, "ignore_eos": True, **s}), g)
        for i, (s, g) in enumerate(ASKED)
    ]


def answers(target: Engine, n: int = 1) -> list[list[list[int]]]:
    prompts, samplings, guidances = zip(*asked(), strict=True)
    found = generate(target, prompts, [replace(s, n=n) for s in samplings], guidances)
    assert_idle(target)
    return [[choice.token_ids for choice in choices] for choices in found]


def test_every_draw_is_the_slow_loops_on_the_cpu(device: torch.device) -> None:
    """Greedy and by seed; unguided, guided by heads, by LMs of both forms and by several, all in one batch."""
    prompts, samplings, guidances = zip(*asked(), strict=True)
    found = generate(engine(device), prompts, samplings, guidances)
    policy, values = tiny_policy("llama"), mixed_values("llama")
    for (prompt, sampling, guidance), (answer,) in zip(asked(), found, strict=True):
        expected = reference_generate(policy, values, prompt, sampling, guidance, guidance.beta or 0.0)
        assert answer.token_ids == expected.tokens, (sampling, guidance)
        if answer.guidance is not None:
            assert answer.guidance.steering_nats == pytest.approx(sum(expected.steering), abs=1e-3)
            assert answer.guidance.truncation_nats == pytest.approx(sum(expected.truncation), abs=1e-3)


def test_forks_chunks_preemption_and_cached_prefixes_do_not_show(device: torch.device) -> None:
    expected = answers(engine(device, enable_prefix_caching=False), n=2)
    crowded = engine(device, max_num_batched_tokens=17, kv_cache_tokens=150)
    assert answers(crowded, n=2) == expected
    assert answers(crowded, n=2) == expected  # whose prompts it has read before


def test_a_second_turn_reads_what_the_first_one_left(device: torch.device) -> None:
    target = engine(device)
    for guidance in STEERED[:2]:
        target.add(request("turn", PROMPT, SamplingParams(max_tokens=4, seed=1, ignore_eos=True), guidance))
        first = run(target)["turn"][0]
        again = [*PROMPT, *first, 5]
        target.add(request("turn", again, SamplingParams(max_tokens=4, seed=2, ignore_eos=True), guidance))
        outputs = target.step()
        assert outputs[0].cached_tokens >= 25
        found = list(outputs[0].deltas[0].token_ids) + run(target)["turn"][0]
        other = engine(device, enable_prefix_caching=False)
        other.add(request("turn", again, SamplingParams(max_tokens=4, seed=2, ignore_eos=True), guidance))
        assert found == run(other)["turn"][0]


def test_steps_that_only_read_a_prompt_are_timed_too(device: torch.device) -> None:
    """Nothing is copied to the host in them, so nothing has waited for the device."""
    target = engine(device, max_num_batched_tokens=17, max_num_seqs=3)
    target.add(request("r", PROMPT * 2, SamplingParams(max_tokens=2, seed=1, ignore_eos=True), STEERED[1]))
    for _ in range(2):
        assert target.step() == []
        assert target.last_step is not None
        assert (target.last_step.prompt_tokens, target.last_step.generation_tokens) == (17, 0)
        assert target.last_step.policy_forward_seconds > 0
        assert target.last_step.value_forward_seconds == 0
    assert len(run(target)["r"][0]) == 2
    assert target.last_step is not None and target.last_step.value_forward_seconds > 0
    assert_idle(target)


def test_a_timer_reads_the_devices_own_clock(device: torch.device) -> None:
    timer, square = StepTimer(device), torch.ones(90, 90, device=device)
    with timer.stage("little"):
        square @ square
    with timer.stage("much"):
        for _ in range(40):
            square = square @ square / 90
    assert 0 < timer.seconds("little") < 60
    assert 0 < timer.seconds("much") < 60
    assert timer.seconds("none") == 0.0


def test_log_probabilities_are_the_cpus(device: torch.device) -> None:
    sampling = SamplingParams(max_tokens=3, seed=1, ignore_eos=True, logprobs=3, prompt_logprobs=2)
    here, there = (
        generate(target, [PROMPT] * 2, sampling, [Guidance(), STEERED[0]])
        for target in (engine(device), engine(torch.device("cpu")))
    )
    for (one,), (other,) in zip(here, there, strict=True):
        assert one.token_ids == other.token_ids
        assert one.prompt_logprobs is not None and other.prompt_logprobs is not None
        pairs = zip(
            [*one.logprobs, *one.prompt_logprobs[1:]], [*other.logprobs, *other.prompt_logprobs[1:]], strict=True
        )
        for mine, theirs in pairs:
            assert isinstance(mine, TokenLogprobs) and isinstance(theirs, TokenLogprobs)
            assert [token for token, _ in mine.top] == [token for token, _ in theirs.top]
            assert [mine.logprob, *(p for _, p in mine.top)] == pytest.approx(
                [theirs.logprob, *(p for _, p in theirs.top)], abs=1e-3
            )


def test_noise_is_the_same_numbers(device: torch.device) -> None:
    keys, positions = torch.tensor([3, -5, 2**62]), torch.tensor([[0], [7], [2**31]])
    hashes = token_hashes(4099, device)
    assert torch.equal(hashes.cpu(), token_hashes(4099))
    found = position_keys(keys.to(device), positions.to(device))
    assert torch.equal(found.cpu(), position_keys(keys, positions))
    torch.testing.assert_close(gumbel(found, hashes).cpu(), gumbel(found.cpu(), hashes.cpu()), rtol=1e-5, atol=1e-5)


def test_half_the_bits_still_steer(device: torch.device) -> None:
    """In bfloat16, which draws other tokens now and then; what is reported stays a divergence."""
    target = engine(device, torch.bfloat16)
    assert (target.info.dtype, target.info.device.partition(":")[0]) == ("bfloat16", device.type)
    prompts, samplings, guidances = zip(*asked(), strict=True)
    for (answer,), guidance in zip(generate(target, prompts, samplings, guidances), guidances, strict=True):
        assert len(answer.token_ids) == 5
        assert all(0 <= token < VOCAB for token in answer.token_ids)
        if guidance.active:
            assert answer.guidance is not None
            parts = [answer.guidance.steering_nats, answer.guidance.truncation_nats]
            assert all(math.isfinite(part) and part >= -1e-4 for part in parts)
            assert parts[0] > 1e-3
    assert_idle(target)


def test_an_abort_in_the_middle_leaves_nothing(device: torch.device) -> None:
    target = engine(device)
    for i, (prompt, sampling, guidance) in enumerate(asked()):
        target.add(request(str(i), prompt, sampling, guidance))
    target.step()
    target.abort("5")
    late = run(target)
    assert "5" not in late
    assert_idle(target)
    prompt, sampling, guidance = asked()[5]
    ((again,),) = generate(target, [prompt], sampling, guidance)
    ((expected,),) = generate(engine(device), [prompt], sampling, guidance)
    assert again.token_ids == expected.token_ids


def test_a_grammar_masks_on_the_device(device: torch.device) -> None:
    pytest.importorskip("llguidance")
    policy = Policy(byte_model(3).to(device), byte_tokenizer(), "bytes")
    sampling = [SamplingParams(max_tokens=30, seed=i, structure=Structure("regex", "(ab|cd){2,4}x")) for i in range(3)]
    values = [head_value(policy, "a", seed=1)]
    guidance = [Guidance({"a": 1.0}, beta=1.0, scope="all"), Guidance({"a": 1.0}, beta=1.0), Guidance()]
    found = generate(Engine(policy, values, EngineConfig()), [[97, 98]] * 3, sampling, guidance)
    for (answer,) in found:
        assert re.fullmatch("(ab|cd){2,4}x", answer.text)
        assert answer.finish_reason == "stop"
