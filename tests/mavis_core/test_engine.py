"""The engine equals the slow reference loop, and transformers' own ``generate``; nothing it does shows in the text."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ChoiceDelta
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from tests.chi_square import p_value
from tests.models import (
    ARCHITECTURES,
    EOS,
    VOCAB,
    assert_idle,
    byte_tokenizer,
    collect,
    head_value,
    mixed_values,
    objective,
    request,
    run,
    tiny_model,
    tiny_policy,
)
from tests.table import TablePolicy, TableValue, TokenValue, memoryless_policy

# Every setting at least once, unguided and guided, by heads (a, b), by an LM (c, d) and by both.
SETTINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"temperature": 0}, {}),
    ({"temperature": 1.3, "top_k": 5, "stop_token_ids": (7, 11, 13)}, {}),
    ({"top_p": 0.7, "min_p": 0.05, "ignore_eos": True}, {}),
    ({"presence_penalty": 0.7, "frequency_penalty": -0.4, "repetition_penalty": 1.3, "temperature": 0.8}, {}),
    ({"logit_bias": {3: 4.0, 5: -50.0, EOS: 3.0}, "min_tokens": 4}, {}),
    ({}, {"weights": {"a": 2.0, "b": -1.0}, "beta": 2.0, "top_k": 11}),
    ({"temperature": 0.7, "top_p": 0.8}, {"weights": {"c": 2.0}, "beta": 3.0, "top_k": 7}),
    ({"temperature": 0}, {"weights": {"a": 1.0, "d": 3.0}, "beta": 2.0, "top_k": 5}),
    ({"min_p": 0.1}, {"weights": {"d": -2.0, "b": 2.0}, "beta": 3.0, "top_k": 5, "normalise": "minmax"}),
    ({"top_k": 3}, {"weights": {"b": 5.0}, "beta": 4.0, "max_kl_per_token": 0.1}),
    ({"logit_bias": {EOS: 9.0}}, {"weights": {"a": 1.0}, "beta": 1.0, "allow_empty": True}),
    ({"logit_bias": {EOS: 9.0}}, {"weights": {"a": 1.0}, "beta": 1.0}),
    ({"repetition_penalty": 0.8}, {"weights": {"c": 1.0, "d": 0.0}, "beta": 0.5, "top_k": 5, "max_kl_per_token": 0.02}),
]
LENGTHS = (1, 5, 4, 9, 21, 2, 13)
PROMPTS = [[3 + (7 * i + j * j) % (VOCAB - 3) for j in range(length)] for i, length in enumerate(LENGTHS)]
LENGTH = 7


def requests(length: int = LENGTH) -> list[tuple[list[int], SamplingParams, Guidance]]:
    return [
        (PROMPTS[i % len(PROMPTS)], SamplingParams(**{"max_tokens": length, "seed": 100 + i, **s}), Guidance(**g))
        for i, (s, g) in enumerate(SETTINGS)
    ]


def tiny_engine(architecture: str = "llama", **config: Any) -> Engine:
    defaults: dict[str, Any] = {"block_size": 5, "max_num_seqs": 17, "max_num_batched_tokens": 19}
    return Engine(tiny_policy(architecture), mixed_values(architecture), EngineConfig(**{**defaults, **config}))


def tokens_of(engine: Engine, n: int = 1, length: int = LENGTH) -> list[list[list[int]]]:
    prompts, samplings, guidances = zip(*requests(length), strict=True)
    answers = generate(engine, prompts, [dataclasses.replace(s, n=n) for s in samplings], guidances)
    assert_idle(engine)
    return [[choice.token_ids for choice in choices] for choices in answers]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_option_equals_the_reference(architecture: str) -> None:
    policy, values = tiny_policy(architecture), mixed_values(architecture)
    engine = Engine(policy, values, EngineConfig(block_size=5, max_num_seqs=17, max_num_batched_tokens=19))
    prompts, samplings, guidances = zip(*requests(), strict=True)
    answers = generate(engine, prompts, samplings, guidances)
    for (prompt, sampling, guidance), (answer,) in zip(requests(), answers, strict=True):
        expected = reference_generate(policy, values, prompt, sampling, guidance, guidance.beta or 0.0)
        assert answer.token_ids == expected.tokens, (sampling, guidance)
        stops = {*(() if sampling.ignore_eos else (EOS,)), *sampling.stop_token_ids}
        assert answer.finish_reason == ("stop" if answer.token_ids[-1] in stops else "length")
        if not guidance.active:
            assert answer.guidance is None
            continue
        assert answer.guidance is not None
        assert answer.guidance.tokens == len(expected.tokens)
        assert answer.guidance.steering_nats == pytest.approx(sum(expected.steering), abs=2e-4)
        assert answer.guidance.truncation_nats == pytest.approx(sum(expected.truncation), abs=2e-4)
    assert_idle(engine)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_equals_transformers_generate(architecture: str) -> None:
    engine = tiny_engine(architecture)
    answers = generate(engine, PROMPTS, SamplingParams(temperature=0, max_tokens=11))
    model = tiny_model(architecture)
    for prompt, (answer,) in zip(PROMPTS, answers, strict=True):
        text = torch.tensor([prompt])
        found = model.generate(text, attention_mask=torch.ones_like(text), do_sample=False, max_new_tokens=11)
        assert answer.token_ids == found[0, len(prompt) :].tolist()


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_cached_prefixes_do_not_show(architecture: str) -> None:
    """Everything again on the same engine: read from the cache, in chunks, by forks, and after preemption."""
    expected = tokens_of(tiny_engine(architecture, enable_prefix_caching=False), n=2)
    for config in ({}, {"max_num_batched_tokens": 3, "max_num_seqs": 3, "block_size": 1}, {"kv_cache_tokens": 40}):
        engine = tiny_engine(architecture, **config)
        for _ in range(2):
            assert tokens_of(engine, n=2) == expected


def test_a_conversation_goes_on_where_it_was() -> None:
    """A second turn reads the first one's prompt and answer, guided by an LM, a head or not at all; usage says so."""
    for weights in ({}, {"a": 1.0}, {"c": 1.0}):
        answers = []
        for caching in (True, False):
            engine = tiny_engine(enable_prefix_caching=caching)
            guidance, sampling = Guidance(weights, beta=1.0), SamplingParams(max_tokens=9, seed=1, ignore_eos=True)
            ((first,),) = generate(engine, [PROMPTS[4]], sampling, guidance)
            engine.add(request("turn", [*PROMPTS[4], *first.token_ids, 5, 6], sampling, guidance))
            outputs = []
            while engine.has_work:
                outputs += engine.step()
            assert {output.cached_tokens for output in outputs} == {25 if caching else 0}
            assert_idle(engine)
            answers.append([output.deltas[0].token_ids for output in outputs])
        assert answers[0] == answers[1]


def test_a_failed_step_leaves_nothing_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """It scheduled blocks that it may never have filled."""
    engine = tiny_engine()
    (expected,) = generate(engine, [PROMPTS[4]], SamplingParams(temperature=0, max_tokens=4))
    engine.abort_all()
    engine.pool.data.zero_()
    engine.add(request("r", PROMPTS[4], SamplingParams(temperature=0, max_tokens=4)))
    with monkeypatch.context() as patch:
        patch.setattr(engine.policy.backbone, "forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.step()
    engine.abort_all()
    assert_idle(engine)
    (found,) = generate(engine, [PROMPTS[4]], SamplingParams(temperature=0, max_tokens=4))
    assert found == expected


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_chunks_blocks_and_preemption_do_not_show(architecture: str) -> None:
    expected = tokens_of(tiny_engine(architecture))
    assert tokens_of(tiny_engine(architecture, enable_chunked_prefill=False)) == expected
    assert tokens_of(tiny_engine(architecture, max_num_batched_tokens=3, max_num_seqs=3, block_size=1)) == expected
    assert tokens_of(tiny_engine(architecture, max_num_batched_tokens=2048, block_size=64)) == expected


@pytest.mark.parametrize("chunked", [True, False])
def test_preemption_does_not_show(chunked: bool) -> None:
    engine = tiny_engine(kv_cache_tokens=45, enable_chunked_prefill=chunked)
    preempted = 0
    step = engine.step

    def counting() -> Any:
        nonlocal preempted
        outputs = step()
        preempted += engine.last_step.preemptions if engine.last_step else 0
        return outputs

    engine.step = counting  # type: ignore[method-assign]
    found = tokens_of(engine, n=2, length=11)
    assert preempted > 0
    assert found == tokens_of(tiny_engine(), n=2, length=11)


def test_a_fork_equals_its_choices_alone() -> None:
    together = tokens_of(tiny_engine(block_size=3), n=4)
    one_by_one = tokens_of(tiny_engine(max_num_seqs=1, max_num_batched_tokens=64), n=4)
    assert together == one_by_one
    policy, values = tiny_policy("llama"), mixed_values("llama")
    for i in (0, 6, 10):
        prompt, sampling, guidance = requests()[i]
        for choice in range(4):
            alone = reference_generate(policy, values, prompt, sampling, guidance, guidance.beta or 0.0, choice)
            assert together[i][choice] == alone.tokens
    assert len({tuple(choice) for choice in together[0]}) == 4


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_an_abort_leaves_no_row_and_no_block(steps: int) -> None:
    engine = tiny_engine(max_num_batched_tokens=7, max_num_seqs=7)
    prompt, sampling, guidance = requests(20)[7]
    engine.add(request("gone", PROMPTS[4], dataclasses.replace(sampling, n=4), guidance))
    engine.add(request("stays", prompt, sampling, guidance))
    tokens: dict[str, dict[int, list[int]]] = {}
    for _ in range(steps):
        collect(engine, tokens)
    engine.abort("gone")
    engine.abort("gone")
    engine.abort("never seen")
    late = run(engine)
    assert "gone" not in late
    assert_idle(engine)
    found = tokens.get("stays", {}).get(0, []) + late["stays"][0]
    (expected,) = generate(tiny_engine(), [prompt], sampling, guidance)
    assert found == expected[0].token_ids


def test_abort_all_forgets_everything() -> None:
    engine = tiny_engine()
    for i, (prompt, sampling, guidance) in enumerate(requests()):
        engine.add(request(str(i), prompt, sampling, guidance))
    engine.step()
    assert engine.abort_all() == [str(i) for i in range(len(SETTINGS))]
    assert_idle(engine)
    assert tokens_of(engine) == tokens_of(tiny_engine())


def test_an_id_in_flight_is_refused() -> None:
    engine = tiny_engine()
    engine.add(request("x", [3]))
    with pytest.raises(InvalidRequestError, match="request id 'x' is in flight already"):
        engine.add(request("x", [3]))
    run(engine)
    assert_idle(engine)


def test_a_prompt_beyond_the_cache_is_refused() -> None:
    engine = tiny_engine(kv_cache_tokens=20)
    assert engine.info.max_model_len == 20
    with pytest.raises(InvalidRequestError, match="at most 19"):
        engine.add(request("x", [3] * 20))
    (answer,) = generate(engine, [[3] * 19], SamplingParams(seed=0))
    assert (len(answer[0].token_ids), answer[0].finish_reason) == (1, "length")


# Probabilities, stated: a policy with the same five tokens after any text.

P = [0.4, 0.3, 0.15, 0.1, 0.05]


def known_engine(values: list[Any] | None = None, stops: tuple[int, ...] = (), **config: Any) -> Engine:
    policy: Any = memoryless_policy([math.log(p) for p in P], 16, stops)
    return Engine(policy, values or [], EngineConfig(max_num_seqs=256, block_size=4, **config))


def first_tokens(engine: Engine, sampling: dict[str, Any], guidance: Guidance | None = None) -> list[int]:
    params = [SamplingParams(n=128, max_tokens=1, seed=seed, **sampling) for seed in range(12)]
    return [choice.token_ids[0] for choices in generate(engine, [[3]] * 12, params, guidance) for choice in choices]


@pytest.mark.parametrize(
    ("sampling", "mass"),
    [
        ({}, P),
        ({"temperature": 0.5}, [p**2 for p in P]),
        ({"top_k": 3}, [0.4, 0.3, 0.15, 0, 0]),
        ({"top_p": 0.71}, [0.4, 0.3, 0.15, 0, 0]),
        ({"min_p": 0.26}, [0.4, 0.3, 0.15, 0, 0]),
        ({"logit_bias": {4: math.log(8)}}, [0.4, 0.3, 0.15, 0.1, 0.4]),
        ({"repetition_penalty": 2.0}, [0.4, 0.3, 0.15, 0.1**2, 0.05]),
        ({"min_tokens": 1}, [0.0, 0.3, 0.15, 0.1, 0.05]),
    ],
)
def test_unguided_draws_have_the_stated_probabilities(sampling: dict[str, Any], mass: list[float]) -> None:
    engine = known_engine(stops=(0,) if "min_tokens" in sampling else ())
    found = first_tokens(engine, sampling)
    assert p_value(found, {a: m / sum(mass) for a, m in enumerate(mass)}) > 1e-3


@pytest.mark.parametrize(
    ("sampling", "guidance", "mass"),
    [
        ({}, Guidance({"up": 1.0}, beta=math.log(2)), [0.4, 0.6, 0.6, 0.8, 0.1]),
        ({}, Guidance({"up": -1.0}, beta=math.log(2)), [0.4, 0.15, 0.0375, 0.0125, 0.025]),
        ({}, Guidance({"up": 1.0}, beta=math.log(2), top_k=3), [0.4, 0.6, 0.6, 0, 0]),
        ({"temperature": 0.5}, Guidance({"up": 1.0}, beta=math.log(2), top_k=2), [0.16, 0.18, 0, 0, 0]),
        ({"top_k": 2}, Guidance({"up": 1.0}, beta=math.log(2)), [0.4, 0.6, 0, 0, 0]),
        ({}, Guidance({"up": 9.0}, beta=math.log(8), normalise="minmax"), [0.4, 0.6, 0.6, 0.8, 0.1]),
        ({}, Guidance({"up": 9.0}, beta=9.0, max_kl_per_token=0.0), P),
        ({}, Guidance({"flat": 9.0}, beta=9.0, normalise="minmax"), P),
        ({}, Guidance({"flat": 9.0}, beta=9.0), P),
    ],
)
def test_guided_draws_have_the_stated_probabilities(
    sampling: dict[str, Any], guidance: Guidance, mass: list[float]
) -> None:
    value = TokenValue([objective("up"), objective("flat")], torch.tensor([[0.0, 5], [1, 5], [2, 5], [3, 5], [1, 5]]))
    found = first_tokens(known_engine([value]), sampling, guidance)
    assert p_value(found, {a: m / sum(mass) for a, m in enumerate(mass)}) > 1e-3


def test_the_reported_numbers_are_exact() -> None:
    value = TokenValue([objective("up"), objective("flat")], torch.tensor([[0.0, 5], [1, 5], [2, 5], [3, 5], [1, 5]]))
    guidance = Guidance({"up": 1.0, "flat": 0.0}, beta=math.log(2), top_k=3, report=True)
    engine = known_engine([value])
    ((answer,),) = generate(engine, [[3]], SamplingParams(max_tokens=5, seed=4, logprobs=2), guidance)
    p = [0.4 / 1.6, 0.6 / 1.6, 0.6 / 1.6]
    steering = sum(x * math.log(x / (r / 0.85)) for x, r in zip(p, P, strict=False))
    truncation = -math.log(0.85)
    assert len(answer.reports) == len(answer.logprobs) == 5
    for token, report, logprobs in zip(answer.token_ids, answer.reports, answer.logprobs, strict=True):
        assert report.token_id == logprobs.token_id == token
        assert report.logprob == pytest.approx(math.log(p[token]), abs=1e-5)
        assert logprobs.logprob == pytest.approx(math.log(p[token]), abs=1e-5)
        assert {a for a, _ in logprobs.top} == {1, 2}
        assert report.base_logprob == pytest.approx(math.log(P[token]), abs=1e-5)
        assert report.steering_nats == pytest.approx(steering, abs=1e-5)
        assert report.truncation_nats == pytest.approx(truncation, abs=1e-5)
        assert report.values == {"up": token, "flat": 5.0}
    stats = answer.guidance
    assert stats is not None
    assert (stats.beta, stats.tokens) == (math.log(2), 5)
    assert stats.steering_nats == pytest.approx(5 * steering, abs=1e-4)
    assert stats.truncation_nats == pytest.approx(5 * truncation, abs=1e-4)
    assert stats.sampled_nats == pytest.approx(sum(math.log(p[t] / P[t]) for t in answer.token_ids), abs=1e-4)
    assert stats.topk_base_mass == pytest.approx(0.85, abs=1e-5)
    assert stats.values == pytest.approx({"up": sum(answer.token_ids) / 5, "flat": 5.0})
    assert stats.value_spread == pytest.approx({"up": 2.0, "flat": 0.0})


def test_unguided_logprobs_are_the_models_own_before_any_edit() -> None:
    engine = known_engine()
    sampling = SamplingParams(max_tokens=3, seed=1, temperature=0.3, top_k=2, logit_bias={4: 50.0}, logprobs=3)
    ((answer,), (silent,)) = generate(engine, [[3], [3]], [sampling, dataclasses.replace(sampling, logprobs=None)])
    assert silent.logprobs == []
    assert answer.token_ids == [4, 4, 4]
    for found in answer.logprobs:
        assert found.logprob == pytest.approx(math.log(0.05), abs=1e-5)
        assert [a for a, _ in found.top] == [0, 1, 2]
        assert [p for _, p in found.top] == pytest.approx([math.log(p) for p in P[:3]], abs=1e-5)


# What ends an answer.


def deltas(engine: Engine, prompt: list[int], sampling: SamplingParams) -> list[ChoiceDelta]:
    engine.add(request("r", prompt, sampling))
    found = []
    finished = []
    while engine.has_work:
        for output in engine.step():
            assert output.prompt_tokens == len(prompt)
            found += output.deltas
            finished.append(output.finished)
    assert finished == [False] * (len(finished) - 1) + [True]
    assert [d.finish_reason is not None for d in found] == finished
    return found


def spelling_engine(text: str, stops: tuple[int, ...] = (256,)) -> Engine:
    """A policy that writes ``text``, byte by byte, then <eos>: logits by position, told by the last byte."""
    tokens = [*text.encode(), 256]
    policy: Any = memoryless_policy([0.0] * 257, 64, stops, byte_tokenizer())
    following = dict(zip([1, *tokens], tokens, strict=False))
    assert len(following) == len(tokens), "every byte must have one successor"

    def hidden(numbers: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(len(numbers), 258)
        for i, last in enumerate(numbers.tolist()):
            out[i, following.get(last, 0)] = 60.0
        return out

    policy.backbone._hidden = hidden
    return Engine(policy, [], EngineConfig(max_num_seqs=3))


@pytest.mark.parametrize(
    ("sampling", "text", "reason", "stopped_by", "count"),
    [
        ({}, "wörld, be", "stop", None, 11),
        ({"max_tokens": 3}, "wö", "length", None, 3),
        ({"max_tokens": 2}, "w\ufffd", "length", None, 2),
        ({"stop": ("ld,",)}, "wör", "stop", "ld,", 7),
        ({"stop": ("beX",)}, "wörld, be", "stop", None, 11),
        ({"stop": ("beX",), "max_tokens": 9}, "wörld, b", "length", None, 9),
        ({"stop": ("r", " b"), "min_tokens": 4}, "wörld,", "stop", " b", 9),
        ({"stop_token_ids": (ord("l"),)}, "wör", "stop", ord("l"), 5),
        ({"stop_token_ids": (256,)}, "wörld, be", "stop", None, 11),
        ({"stop_token_ids": (256,), "ignore_eos": True}, "wörld, be", "stop", 256, 11),
    ],
)
def test_what_ends_an_answer(
    sampling: dict[str, Any], text: str, reason: str, stopped_by: str | int | None, count: int
) -> None:
    found = deltas(spelling_engine("wörld, be"), [1], SamplingParams(temperature=0, **sampling))
    assert "".join(d.text for d in found) == text
    assert (found[-1].finish_reason, found[-1].stop_reason) == (reason, stopped_by)
    assert sum(len(d.token_ids) for d in found) == count


def test_a_row_stops_at_the_end_of_the_context() -> None:
    found = deltas(known_engine(), [3] * 13, SamplingParams(seed=0))
    assert (len(found), found[-1].finish_reason) == (3, "length")


def test_step_stats_count_what_ran() -> None:
    engine = known_engine()
    engine.add(request("r", [3] * 5, SamplingParams(n=3, max_tokens=2, seed=0)))
    assert engine.last_step is None
    engine.step()
    stats = engine.last_step
    assert stats is not None
    assert (stats.prompt_tokens, stats.generation_tokens, stats.running, stats.waiting) == (5, 3, 3, 0)
    assert stats.kv_cache_usage == engine.scheduler.usage > 0
    engine.step()
    assert engine.last_step is not None
    assert (engine.last_step.prompt_tokens, engine.last_step.generation_tokens) == (0, 3)
    assert_idle(engine)


# A policy that reads its whole history through the cache: any wrong block, slot, copy or chunk changes its logits.

DEEP_VOCAB, DEEP_LENGTH = 2, 13


def deep_engine(**config: Any) -> Engine:
    generator = torch.Generator().manual_seed(3)
    histories = (DEEP_VOCAB + 1) ** DEEP_LENGTH
    policy: Any = TablePolicy(torch.randn(histories, DEEP_VOCAB, generator=generator) * 2, DEEP_LENGTH - 1)
    value = TableValue([objective("a")], torch.randn(histories, 1, generator=generator), DEEP_VOCAB)
    return Engine(policy, [value], EngineConfig(**config))


@settings(max_examples=15)
@given(st.data())
def test_any_history_of_arrivals_and_aborts_gives_the_same_tokens(data: st.DataObject) -> None:
    most = data.draw(st.integers(1, 5), "rows")
    engine = deep_engine(
        max_num_seqs=most,
        block_size=data.draw(st.integers(1, 5), "block"),
        max_num_batched_tokens=data.draw(st.integers(most, 14), "tokens"),
        kv_cache_tokens=data.draw(st.integers(17, 40), "cache"),
        enable_chunked_prefill=data.draw(st.booleans(), "chunked"),
    )
    wanted: dict[str, dict[int, list[int]]] = {}
    tokens: dict[str, dict[int, list[int]]] = {}
    for i in range(data.draw(st.integers(1, 6), "requests")):
        prompt = data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=DEEP_LENGTH - 3))
        n = data.draw(st.integers(1, 4))
        guidance = Guidance({"a": 2.0} if data.draw(st.booleans()) else {}, beta=1.0)
        sampling = SamplingParams(n=n, seed=i, max_tokens=data.draw(st.integers(1, DEEP_LENGTH)))
        engine.add(request(str(i), prompt, sampling, guidance))
        length = min(sampling.max_tokens or 0, DEEP_LENGTH - 1 - len(prompt))
        alone = dataclasses.replace(sampling, max_tokens=length)
        policy: Any = engine.policy
        wanted[str(i)] = {
            c: reference_generate(policy, engine.values.values, prompt, alone, guidance, 1.0, c).tokens
            for c in range(n)
        }
        for _ in range(data.draw(st.integers(0, 4))):
            collect(engine, tokens)
        if data.draw(st.integers(0, 3)) == 0:
            engine.abort(str(i))
            wanted.pop(str(i))
    while engine.has_work:
        collect(engine, tokens)
    assert_idle(engine)
    assert {name: tokens[name] for name in wanted} == wanted


def test_heads_alone_need_no_second_cache() -> None:
    policy = tiny_policy("llama")
    engine = Engine(policy, [head_value(policy, "a")], EngineConfig())
    assert engine.values.pools == []
    assert [o.name for o in engine.info.objectives] == ["a"]
