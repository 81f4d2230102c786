"""Log-ratios of tuned models: the engine equals the slow loop, rows do not meet, and a mix of policies is MOD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from tests.chi_square import p_value
from tests.models import VOCAB, assert_idle, objective, request, run, tiny_model, tiny_policy
from tests.table import TablePolicy, number
from value_models.kinds.implicit import ImplicitValue


def other(architecture: str, seed: int) -> Policy:
    """A random model other than the policy, as a tuned or untuned one."""
    return Policy(tiny_model(architecture, seed), None, f"{architecture}-{seed}")


def scaled(name: str, mean: float, std: float) -> ObjectiveInfo:
    return ObjectiveInfo(name, f"about {name}", "implicit", "v", mean, std, 1.0, (-16, 16))


def pair(untuned: str = "model") -> ImplicitValue:
    """Objectives e and f: two models over one untuned of another shape, over the policy, or alone."""
    base = {"model": other("gpt2", 33), "policy": tiny_policy("llama"), "none": None}[untuned]
    objectives = [scaled("e", -0.5, 2.0), scaled("f", 0.25, 1.5)]
    return ImplicitValue("pair", objectives, [other("llama", 31), other("qwen2", 32)], base, tiny_policy("llama"))


def engine(value: ImplicitValue, **config: Any) -> Engine:
    return Engine(tiny_policy("llama"), [value], EngineConfig(**({"block_size": 5} | config)))


GUIDANCE = Guidance({"e": 1.0, "f": -0.7}, beta=0.6, top_k=7, report=True)


@pytest.mark.parametrize("untuned", ["model", "policy", "none"])
@pytest.mark.parametrize("chunk", [4, 64])
def test_the_engine_equals_the_slow_loop(untuned: str, chunk: int) -> None:
    """Chunked prefill or whole, sampled and greedy, with edits of the logits; two rows share the batch."""
    value = pair(untuned)
    target = engine(value, max_num_seqs=4, max_num_batched_tokens=chunk)
    samplings = [
        SamplingParams(seed=3, max_tokens=9, temperature=0.7, frequency_penalty=0.5, logit_bias={11: 2.0}),
        SamplingParams(seed=4, max_tokens=7, temperature=0),
    ]
    prompts = [[3, 5, 7, 11, 13, 17, 19, 23, 29, 31], [37]]
    answers = generate(target, prompts, samplings, GUIDANCE)
    assert_idle(target)
    for prompt, sampling, (answer,) in zip(prompts, samplings, answers, strict=True):
        expected = reference_generate(tiny_policy("llama"), [value], prompt, sampling, GUIDANCE, 0.6)
        assert answer.token_ids == expected.tokens
        assert [r.steering_nats for r in answer.reports] == pytest.approx(expected.steering, abs=2e-4)


@pytest.mark.parametrize("untuned", ["model", "policy", "none"])
def test_a_value_belongs_to_the_text_not_to_its_sampling(untuned: str) -> None:
    """Temperature, bias and penalties move the draw; V of what was drawn is at T = 1, z-scored."""
    value = pair(untuned)
    sampling = SamplingParams(seed=1, max_tokens=6, temperature=1.7, presence_penalty=1.0, logit_bias={5: 4.0})
    ((answer,),) = generate(engine(value), [[3, 5]], sampling, GUIDANCE)
    tuned = [other("llama", 31), other("qwen2", 32)]
    base = {"model": other("gpt2", 33), "policy": tiny_policy("llama"), "none": tiny_policy("llama")}[untuned]
    text = [3, 5]
    for report in answer.reports:
        logprobs = [
            m.logits(m.backbone.forward_plain(torch.tensor(text))[-1:]).log_softmax(1)[0] for m in (*tuned, base)
        ]
        first, second, less = (float(p[report.token_id]) for p in logprobs)
        less = 0.0 if untuned == "none" else less
        assert report.values["e"] == pytest.approx((first - less + 0.5) / 2.0, abs=1e-3)
        assert report.values["f"] == pytest.approx((second - less - 0.25) / 1.5, abs=1e-3)
        text.append(report.token_id)
    assert len(text) == 8


def wanted() -> list[Any]:
    """Guided and plain rows, forks over prompts that fill their last block and that do not."""
    found = []
    for i, length in enumerate((10, 4, 15, 7, 1, 5)):
        sampling = SamplingParams(n=3 if i % 2 == 0 else 1, seed=i, max_tokens=4 + i, ignore_eos=True)
        guidance = GUIDANCE if i != 3 else Guidance()
        found.append(request(f"r{i}", [(7 * i + j) % VOCAB for j in range(length)], sampling, guidance))
    return found


@pytest.mark.parametrize(("blocks", "rows"), [(None, 16), (10, 5)])
def test_rows_do_not_meet(blocks: int | None, rows: int) -> None:
    """Together, forked, and preempted (10 blocks of 5 tokens) each choice gets what it gets alone."""
    alone = engine(pair(), max_num_seqs=1)
    expected: dict[str, dict[int, list[int]]] = {}
    for one in wanted():
        alone.add(one)
        expected |= run(alone)
    bounded = {} if blocks is None else {"kv_cache_tokens": 5 * blocks, "max_model_len": 30}
    together = engine(pair(), max_num_seqs=rows, max_num_batched_tokens=23, **bounded)
    for one in wanted():
        together.add(one)
    preempted, found = 0, dict[str, dict[int, list[int]]]()
    while together.has_work:
        for output in together.step():
            for delta in output.deltas:
                found.setdefault(output.request_id, {}).setdefault(delta.index, []).extend(delta.token_ids)
        assert together.last_step is not None
        preempted += together.last_step.preemptions
    assert found == expected
    assert (preempted > 0) == (blocks is not None)
    assert_idle(together)


def test_a_smaller_vocabulary_is_refused_by_name() -> None:
    small = tiny_model("llama", 31)
    small.resize_token_embeddings(VOCAB - 2)
    with pytest.raises(LoadError, match=f"small: vocab_size={VOCAB - 2}: the policy has {VOCAB} tokens"):
        ImplicitValue("v", [objective("e")], [Policy(small, None, "small")], tiny_policy("llama"), tiny_policy("llama"))


def test_it_asks_for_a_cache_per_model_and_reads_as_far_as_the_shortest() -> None:
    short = tiny_model("llama", 31)
    short.config.max_position_embeddings = 40
    value = ImplicitValue(
        "v", [objective("e")], [Policy(short, None, "short")], other("gpt2", 33), tiny_policy("llama")
    )
    assert len(value.spec.caches) == 2
    assert value.spec.caches[0] != value.spec.caches[1]
    assert value.spec.max_model_len == 40


def mix(lambdas: Sequence[float]) -> tuple[list[Policy], Engine]:
    experts = [other("llama", 41), other("gpt2", 42), other("mistral", 43)][: len(lambdas)]
    objectives = [scaled(f"p{i}", 0.0, 1.0) for i in range(len(lambdas))]
    return experts, engine(ImplicitValue("mix", objectives, experts, tiny_policy("llama"), tiny_policy("llama")))


@pytest.mark.parametrize(("lambdas", "bias"), [((0.5, 0.2, 0.3), {}), ((1.5, -0.5), {9: 3.0})])
def test_policies_at_weights_that_sum_to_one_are_mod(lambdas: tuple[float, ...], bias: dict[int, float]) -> None:
    """Each step's p over the candidates is softmax(sum_m lambda_m logits_m), the request's bias added to the mix."""
    experts, target = mix(lambdas)
    guidance = Guidance({f"p{i}": w for i, w in enumerate(lambdas)}, beta=1.0, top_k=VOCAB, allow_empty=True)
    sampling = SamplingParams(seed=5, max_tokens=8, logprobs=20, ignore_eos=True, logit_bias=bias)
    ((answer,),) = generate(target, [[3, 5, 7]], sampling, guidance)
    text = [3, 5, 7]
    for position in answer.logprobs:
        every = [m.logits(m.backbone.forward_plain(torch.tensor(text))[-1:])[0].double() for m in experts]
        mixed = sum(w * logits for w, logits in zip(lambdas, every, strict=True))
        assert isinstance(mixed, torch.Tensor)
        for token, added in bias.items():
            mixed[token] += added
        expected = mixed.log_softmax(0)
        for token, logprob in position.top:
            assert logprob == pytest.approx(float(expected[token]), abs=2e-3)
        text.append(position.token_id)
    assert len(position.top) == 20


def test_one_policy_at_weight_one_samples_that_policy() -> None:
    experts, target = mix((1.0,))
    guidance = Guidance({"p0": 1.0}, beta=1.0, top_k=VOCAB, allow_empty=True)
    sampling = SamplingParams(seed=5, max_tokens=12)
    ((answer,),) = generate(target, [[3, 5, 7]], sampling, guidance)
    alone = Engine(experts[0], [], EngineConfig())
    ((expected,),) = generate(alone, [[3, 5, 7]], sampling)
    assert answer.token_ids == expected.token_ids


# A token MDP: tables over whole histories, so that MOD's distribution of whole texts is known.
TOKENS, HORIZON, START = 4, 3, 2
BASE = TOKENS + 1


class TableModel(TablePolicy):
    """A table that moves to a device like a model."""

    def __init__(self, seed: int) -> None:
        table = torch.randn(BASE ** (HORIZON + 1), TOKENS, generator=torch.Generator().manual_seed(seed))
        super().__init__(table, HORIZON + 1)
        self.model = torch.nn.Identity()


def mod(experts: Sequence[TableModel], lambdas: Sequence[float], text: tuple[int, ...] = ()) -> dict[Any, float]:
    """Probability of every text of the product of experts, token by token."""
    if len(text) == HORIZON:
        return {text: 1.0}
    at = number((START, *text), BASE)
    mixed = sum(w * e.backbone.table[at].double() for w, e in zip(lambdas, experts, strict=True))
    assert isinstance(mixed, torch.Tensor)
    found: dict[Any, float] = {}
    for token, p in enumerate(mixed.softmax(0).tolist()):
        found |= {t: p * q for t, q in mod(experts, lambdas, (*text, token)).items()}
    return found


@pytest.mark.parametrize("lambdas", [(0.3, 0.7), (1.6, -0.6)])
def test_on_a_token_mdp_texts_have_mods_distribution(lambdas: tuple[float, float]) -> None:
    base, experts = TableModel(1), [TableModel(2), TableModel(3)]
    objectives = [scaled("p0", 0.0, 1.0), scaled("p1", 0.0, 1.0)]
    policies: list[Any] = list(experts)
    policy: Any = base
    config = EngineConfig(max_num_seqs=256, max_num_batched_tokens=512, block_size=2)
    target = Engine(policy, [ImplicitValue("mix", objectives, policies, policy, policy)], config)
    guidance = Guidance(dict(zip(("p0", "p1"), lambdas, strict=True)), beta=1.0, top_k=TOKENS, allow_empty=True)
    params = [SamplingParams(n=128, seed=seed, max_tokens=HORIZON) for seed in range(16)]
    answers = [c for choices in generate(target, [[START]] * 16, params, guidance) for c in choices]
    found = [tuple(answer.token_ids) for answer in answers]
    expected = mod(experts, lambdas)
    assert math.isclose(sum(expected.values()), 1.0)
    assert p_value(found, expected) > 1e-3
    assert p_value(found, mod([base], [1.0])) < 1e-6, "the test can tell it from the policy"
