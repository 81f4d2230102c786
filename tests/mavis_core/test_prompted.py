"""Objectives in words: equal to the slow loop, at weight 1 the instructed policy itself, and a row is one with its
companions whatever happens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError, UnknownObjectiveError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.search_params import SearchParams
from mavis_core.api.structure import Structure
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.reference import reference_generate
from tests.models import assert_idle, head_value, mixed_values, request, run, text_policy, tiny_policy

POLICY = tiny_policy("llama")
PROMPT = [5, 9, 14, 7, 30]
PIRATE, CALM = [41, 42, 43, *PROMPT], [44, 45, 41, 52, 60, 3, 17, *PROMPT]
Case = tuple[list[int], dict[str, Any], dict[str, Any], dict[str, list[int]]]
CASES: list[Case] = [
    (PROMPT, {}, {"weights": {"pirate": 2.0}, "beta": 1.0, "top_k": 11}, {"pirate": PIRATE}),
    (PROMPT, {"temperature": 0}, {"weights": {"calm": -1.5}, "beta": 2.0, "top_k": 7}, {"calm": CALM}),
    ([8, 3], {}, {}, {}),
    (
        PROMPT,
        {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.3, "logit_bias": {7: 2.0}, "min_tokens": 3},
        {"weights": {"calm": 1.0, "pirate": -0.5, "a": 1.0, "c": 0.7}, "beta": 1.5, "top_k": 9},
        {"pirate": PIRATE, "calm": CALM},
    ),
    (PROMPT, {}, {"weights": {"pirate": 3.0}, "beta": 2.0, "max_kl_per_token": 0.1}, {"pirate": PIRATE}),
    (
        [11, 12, 13],
        {},
        {"weights": {"x": 2.0, "d": 1.0}, "beta": 1.0, "top_k": 5, "normalise": "minmax"},
        {"x": [58, 11, 12, 13]},
    ),
    ([4] * 9, {}, {"weights": {"b": 2.0}, "beta": 1.0, "top_k": 5}, {}),
    (PROMPT, {"stop_token_ids": (3, 31)}, {"weights": {"none": 4.0, "a": 1.0}, "beta": 1.0}, {"none": PROMPT}),
    (PROMPT, {}, {"weights": {"pirate": 0.0, "b": 1.5}, "beta": 1.0, "top_k": 6}, {"pirate": PIRATE}),
]
LENGTH = 8


def prompted(words: dict[str, list[int]]) -> tuple[PromptedObjective, ...]:
    return tuple(PromptedObjective(name, tuple(tokens)) for name, tokens in words.items())


def parts(
    n: int = 1,
) -> tuple[list[list[int]], list[SamplingParams], list[Guidance], list[Sequence[PromptedObjective]]]:
    samplings = [
        SamplingParams(**{"n": n, "max_tokens": LENGTH, "seed": 50 + i, **s}) for i, (_, s, _, _) in enumerate(CASES)
    ]
    guidances = [Guidance(report=True, **guidance) for _, _, guidance, _ in CASES]
    return [case[0] for case in CASES], samplings, guidances, [prompted(case[3]) for case in CASES]


def engine(**config: Any) -> Engine:
    defaults: dict[str, Any] = {"block_size": 3, "max_num_seqs": 29, "max_num_batched_tokens": 31}
    return Engine(POLICY, mixed_values("llama"), EngineConfig(**{**defaults, **config}))


def answers(target: Engine, n: int = 1) -> list[list[CompletionOutput]]:
    prompts, samplings, guidances, words = parts(n)
    found = generate(target, prompts, samplings, guidances, prompted=words)
    assert_idle(target)
    return found


@cache
def expected(choices: int = 2) -> list[list[Any]]:
    values = mixed_values("llama")
    return [
        [reference_generate(POLICY, values, prompt, s, g, g.beta or 0.0, c, words) for c in range(choices)]
        for prompt, s, g, words in zip(*parts(), strict=True)
    ]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"max_num_batched_tokens": 4, "max_num_seqs": 4, "block_size": 1},
        {"enable_chunked_prefill": False, "max_num_batched_tokens": 29, "enable_prefix_caching": False},
        {"kv_cache_tokens": 84},
    ],
    ids=["together", "in small chunks", "whole", "preempted"],
)
def test_mixed_batches_equal_the_reference(config: dict[str, Any]) -> None:
    """Twice on one engine: read from the prefix cache the second time; two choices each, so forked too."""
    target, preempted = engine(**config), 0
    step = target.step

    def counting() -> Any:
        nonlocal preempted
        outputs = step()
        preempted += target.last_step.preemptions if target.last_step else 0
        return outputs

    target.step = counting  # type: ignore[method-assign]
    for _ in range(2):
        for choices, wanted in zip(answers(target, n=2), expected(), strict=True):
            for choice, one in zip(choices, wanted, strict=True):
                assert choice.token_ids == one.tokens
                assert (choice.guidance is None) == (not one.steering)
                if choice.guidance is not None:
                    assert choice.guidance.steering_nats == pytest.approx(sum(one.steering), abs=2e-4)
                    assert choice.guidance.truncation_nats == pytest.approx(sum(one.truncation), abs=2e-4)
    assert (preempted > 0) == ("kv_cache_tokens" in config)


def logits(tokens: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        return POLICY.logits(POLICY.backbone.forward_plain(torch.tensor(tokens))[-1:])[0]


@pytest.mark.parametrize("top_k", [6, 61])
def test_weight_1_at_beta_1_is_the_instructed_policy(top_k: int) -> None:
    """At T = 1, over the candidates, which are the plain policy's likeliest: 61 are all. Beta 1 is the recommended."""
    sampling = SamplingParams(max_tokens=9, seed=3, logprobs=5, ignore_eos=True)
    guidance = Guidance({"pirate": 1.0}, top_k=top_k, report=True, allow_empty=True)
    ((answer,),) = generate(engine(), [PROMPT], sampling, guidance, prompted=[prompted({"pirate": PIRATE})])
    assert answer.guidance is not None and answer.guidance.beta == 1.0
    kl = 0.0
    for i, (token, position, report) in enumerate(zip(answer.token_ids, answer.logprobs, answer.reports, strict=True)):
        plain = logits([*PROMPT, *answer.token_ids[:i]]).log_softmax(0)
        instructed = logits([*PIRATE, *answer.token_ids[:i]]).log_softmax(0)
        candidates = plain.topk(top_k).indices
        p = instructed[candidates].log_softmax(0)
        of = dict(zip(candidates.tolist(), p.tolist(), strict=True))
        assert position.logprob == report.logprob == pytest.approx(of[token], abs=2e-5)
        assert dict(position.top) == pytest.approx({a: of[a] for a in sorted(of, key=lambda a: -of[a])[:5]}, abs=2e-5)
        assert report.values["pirate"] == pytest.approx(float(instructed[token] - plain[token]), abs=2e-5)
        kl += float((p.exp() * (p - plain[candidates])).sum())
    assert answer.guidance.steering_nats + answer.guidance.truncation_nats == pytest.approx(kl, abs=2e-4)


def test_an_instruction_that_says_nothing_is_0_and_costs_nothing() -> None:
    words = prompted({"none": PROMPT})
    one = replace(request("r", PROMPT, guidance=Guidance({"none": 16.0}, top_k=61)), prompted=words)
    assert one.places == 1
    sampling = SamplingParams(max_tokens=9, seed=3)
    ((answer,),) = generate(engine(), [PROMPT], sampling, one.guidance, prompted=[one.prompted])
    ((other,),) = generate(engine(), [PROMPT], sampling, replace(one.guidance, weights={"a": 1.0}, max_kl_per_token=0))
    assert answer.token_ids == other.token_ids, "steered by nothing"
    assert answer.guidance is not None
    assert (answer.guidance.values, answer.guidance.value_spread) == ({"none": 0.0}, {"none": 0.0})
    assert answer.guidance.steering_nats == pytest.approx(0, abs=1e-5)
    assert answer.guidance.companion_tokens == 0


def test_what_companions_compute_is_counted() -> None:
    """Their prompts, once for all choices, and every token of an answer but the last; nothing of a cached prefix."""
    sampling = SamplingParams(n=2, max_tokens=4, seed=0, ignore_eos=True)
    guidance = Guidance({"pirate": 1.0, "calm": 0.5})
    target = engine(block_size=2)
    found = []
    for _ in range(2):
        (choices,) = generate(
            target, [PROMPT], sampling, guidance, prompted=[prompted({"pirate": PIRATE, "calm": CALM})]
        )
        found.append([choice.guidance.companion_tokens for choice in choices if choice.guidance])
    prompts = len(PIRATE) + len(CALM)
    assert found == [[prompts + 2 * 3, 2 * 3], [prompts - 6 - 10 + 2 * 3, 2 * 3]]


def test_the_steps_of_a_batch_count_them_apart() -> None:
    target = engine()
    target.add(replace(request("r", PROMPT, guidance=Guidance({"x": 1.0})), prompted=prompted({"x": PIRATE})))
    target.add(request("plain", [3, 4]))
    target.step()
    assert target.last_step is not None
    assert (target.last_step.running, target.last_step.prompt_tokens) == (2, len(PROMPT) + 2)
    assert target.last_step.companion_tokens == len(PIRATE)
    target.step()
    assert (target.last_step.prompt_tokens, target.last_step.companion_tokens) == (0, 1)


def bad(words: dict[str, list[int]], weights: dict[str, float], **sampling: Any) -> Request:
    one = request("r", PROMPT, SamplingParams(**sampling), Guidance(weights))
    return replace(one, prompted=prompted(words))


@pytest.mark.parametrize(
    ("one", "message", "param"),
    [
        (bad({"a": PIRATE}, {"a": 1.0}), "objectives.a: is scored by the value 'v' already", "objectives.a"),
        (bad({"x": []}, {"x": 1.0}), "the prompt of an objective in words is empty", "objectives"),
        (bad({"x": [3, 61]}, {"x": 1.0}), "objectives.x: token id 61 is not from 0 to 60", "objectives.x"),
        (bad({"x": [3] * 130}, {"x": 1.0}), "2 prompts of up to 130 tokens, which leaves 0", "objective_weights"),
        (bad({"x": [3] * 100}, {"x": 1.0}, max_tokens=29), "leaves 28 tokens .*: 29 are needed", "objective_weights"),
        (
            bad({c: [3, i] for i, c in enumerate("uvwxyz")}, dict.fromkeys("uvwxyz", 1.0)),
            "7 places",
            "objective_weights",
        ),
    ],
)
def test_what_can_never_run_is_refused(one: Request, message: str, param: str) -> None:
    target = engine(max_num_seqs=6)
    with pytest.raises(InvalidRequestError, match=message) as caught:
        target.add(one)
    assert caught.value.param == param
    assert_idle(target)


def test_a_name_given_twice_and_a_weight_without_an_objective_are_refused() -> None:
    twice = replace(bad({}, {"x": 1.0}), prompted=(PromptedObjective("x", (3,)), PromptedObjective("x", (4,))))
    with pytest.raises(InvalidRequestError, match=r"objectives\.x: is given twice"):
        engine().add(twice)
    with pytest.raises(UnknownObjectiveError, match="known: a, b, c, d, e, x"):
        engine().add(bad({"x": [3]}, {"y": 1.0}))


@pytest.mark.parametrize(
    ("told", "config", "length"),
    [([3] * 100, {}, 28), (PIRATE, {"kv_cache_tokens": 60}, 22)],
    ids=["context", "blocks"],
)
def test_the_answer_ends_where_prompts_and_blocks_of_all_end(
    told: list[int], config: dict[str, Any], length: int
) -> None:
    target, sampling = engine(**config), SamplingParams(seed=0, ignore_eos=True)
    ((answer,),) = generate(target, [PROMPT], sampling, Guidance({"x": 1.0}), prompted=[prompted({"x": told})])
    assert (len(answer.token_ids), answer.finish_reason) == (length, "length")
    assert target.info.room.answer([len(PROMPT), len(told)]) == length
    assert_idle(target)


def test_objectives_that_are_not_weighed_cost_nothing() -> None:
    for weights in ({}, {"x": 0.0}, {"a": 0.0}, {"a": 1.0, "x": 0.0}):
        assert bad({"x": PIRATE}, weights).places == 1
    assert bad({"x": PIRATE, "y": CALM}, {"x": 1.0, "y": 0.0, "a": 0.0}).places == 2


@pytest.mark.parametrize(
    "search",
    [
        SearchParams("chunk", 1, 1, 3),
        SearchParams("chunk", 2, 3, 2),
        SearchParams("best_of", 1, 3),
        SearchParams("beam", 2, 3),
    ],
)
def test_searches_take_companions_along(search: SearchParams) -> None:
    sampling = SamplingParams(max_tokens=7, seed=4, ignore_eos=True)
    steer, words = Guidance({"pirate": 1.5}, top_k=9), [prompted({"pirate": PIRATE})]
    target = engine()
    ((found,),) = generate(target, [PROMPT], sampling, replace(steer, search=search), prompted=words)
    ((plain,),) = generate(target, [PROMPT], sampling, steer, prompted=words)
    assert_idle(target)
    assert found.guidance is not None and found.guidance.search is not None
    assert len(found.token_ids) == 7
    if search.rows == 1:
        assert found.token_ids == plain.token_ids
    if search.method != "beam":
        total = found.guidance.values["pirate"] * found.guidance.tokens
        assert found.guidance.search.score == pytest.approx(1.5 * total, abs=1e-4), "log-ratios add up along a text"


def test_a_structure_holds_and_the_tilt_works_inside_it() -> None:
    policy = text_policy("byte_level")
    target = Engine(policy, [], EngineConfig(block_size=4))
    assert policy.tokenizer is not None
    told = policy.tokenizer.encode("say b: ok")
    sampling = SamplingParams(max_tokens=6, seed=1, n=20, structure=Structure("regex", "[ab]{5}"))
    (found,) = generate(
        target, [told[-2:]], sampling, Guidance({"b": 4.0}, scope="all"), prompted=[prompted({"b": told})]
    )
    assert all(len(choice.text) == 5 and set(choice.text) <= {"a", "b"} for choice in found)
    assert all(choice.guidance is not None and choice.guidance.values["b"] != 0 for choice in found)


def test_a_prompt_is_scored_beside_companions() -> None:
    sampling = SamplingParams(max_tokens=2, seed=1, prompt_logprobs=0)
    target = engine(max_num_batched_tokens=5, max_num_seqs=5)
    ((found,),) = generate(target, [PROMPT], sampling, Guidance({"x": 1.0}), prompted=[prompted({"x": CALM})])
    ((plain,),) = generate(engine(), [PROMPT], sampling)
    assert found.prompt_logprobs is not None and plain.prompt_logprobs is not None
    scored, alone = ([p.logprob for p in each[1:] if p] for each in (found.prompt_logprobs, plain.prompt_logprobs))
    assert scored == pytest.approx(alone, abs=1e-5)


def test_numbers_that_are_not_finite_end_the_row_alone_and_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a companion alone: its blocks are forgotten with the row's."""
    target, failed, whole = engine(), [], POLICY.logits
    target.add(replace(request("bad", PROMPT, guidance=Guidance({"x": 1.0})), prompted=prompted({"x": PIRATE})))
    target.add(replace(request("good", PROMPT, guidance=Guidance({"x": 1.0})), prompted=prompted({"x": CALM})))

    def broken(hidden: torch.Tensor) -> torch.Tensor:
        found = whole(hidden)
        found[2] = math.nan  # two rows, then their companions
        return found

    with monkeypatch.context() as patch:
        patch.setattr(POLICY, "logits", broken)
        outputs = target.step()
    failed = [output for output in outputs if output.error]
    assert [output.request_id for output in failed] == ["bad"]
    assert "not finite" in str(failed[0].error)
    found = run(target)
    assert len(found["good"][0]) == 2
    assert_idle(target)
    again = replace(request("again", PIRATE, SamplingParams(max_tokens=1)), prompted=())
    target.add(again)
    assert target.step()[0].cached_tokens == 0


def test_a_value_that_is_loaded_meanwhile_leaves_objectives_in_words_alone() -> None:
    """Of the same name, even: it counts for requests that come later."""
    sampling = SamplingParams(max_tokens=9, seed=2, ignore_eos=True)
    one = replace(
        request("r", PROMPT, sampling, Guidance({"x": 2.0, "a": 1.0}, beta=1.0)), prompted=prompted({"x": PIRATE})
    )
    found = []
    for loads in (False, True):
        target = Engine(POLICY, [head_value(POLICY, "a")], EngineConfig(block_size=3))
        target.add(one)
        tokens = [target.step()[0].deltas[0].token_ids[0]]
        if loads:
            target.load_values([head_value(POLICY, "x", seed=7)])
            target.unload_value("head-x")
            target.load_values([head_value(POLICY, "x", seed=7)])
            with pytest.raises(InvalidRequestError, match="is scored by the value"):
                target.add(replace(one, id="later"))
        found.append([*tokens, *run(target)["r"][0]])
    assert found[0] == found[1]
