"""Nothing about one row may fail a step: what goes wrong for one request ends that request and leaves no trace.

A thousand mixed requests run while every stage that works on one row at a time raises at random; others meet rows whose
numbers are not finite. Whoever is left gets exactly the answer that it gets alone.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

import mavis_core.sample.logprobs
import mavis_core.sample.prompt_logprobs
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from mavis_core.emitter import Emitter
from mavis_core.engine import Engine
from mavis_core.grammar.matcher import Matcher
from mavis_core.model.policy import Policy
from mavis_core.schedule.row import Row
from mavis_core.schedule.row_fault import NOT_FINITE, alone
from mavis_core.text.detokenizer import Detokenizer
from mavis_core.values.protocol import ValueFunction
from tests.mavis_core.rows import rows
from tests.models import HIDDEN, assert_idle, byte_tokenizer, head_value, objective
from tests.structures import byte_model, byte_policy
from value_models.kinds.lm import LmValue

BAD = 250  # a token whose embedding is not a number, in the models that have one
STRUCTURES = [
    Structure("regex", "[a-f]{2}(-[0-9]{1,3})?"),
    Structure("choice", '["yes", "no", "perhaps"]'),
    Structure("json_schema", '{"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3}'),
]
Answers = dict[str, dict[int, tuple[list[int], str, Any]]]


class Panic(BaseException):
    """As those of libraries written in Rust, no ``Exception``."""


def templates(count: int, seed: int) -> list[Request]:
    """Requests of every kind: plain, guided by heads and by an LM, in structures, with stops, logprobs and reports."""
    choose = random.Random(seed)
    found = []
    for i in range(count):
        structured = i % 4 == 1
        sampling = SamplingParams(
            n=3 if i % 7 == 0 else 1,
            max_tokens=choose.randint(3, 9),
            temperature=choose.choice([0, 1.0, 1.0, 1.5]),
            top_p=choose.choice([1.0, 0.8]),
            seed=choose.randrange(2**40),
            stop=(chr(choose.randrange(97, 123)), "zz") if choose.random() < 0.3 else (),
            logprobs=choose.choice([None, 2]),
            prompt_logprobs=1 if i % 5 == 2 else None,
            structure=choose.choice(STRUCTURES) if structured else None,
        )
        names = choose.sample("abc", choose.randint(1, 3)) if i % 3 else []
        guidance = Guidance(
            {name: choose.uniform(-3, 3) for name in names}, beta=2.0, top_k=7, report=choose.random() < 0.5
        )
        prompt = [97 + (i * j) % 26 for j in range(choose.randint(1, 19))]
        found.append(Request(f"{i}", tuple(prompt), sampling, guidance))
    return found


def engine(policy: Policy, lm: Any, **settings: Any) -> Engine:
    values: list[ValueFunction] = [head_value(policy, "a", seed=1), head_value(policy, "b", seed=2)]
    torch.manual_seed(8)
    values.append(LmValue("lm", [objective("c")], lm, torch.nn.Linear(HIDDEN, 1)))
    config = {"block_size": 5, "max_num_seqs": 41, "max_num_batched_tokens": 67, **settings}
    return Engine(policy, values, EngineConfig(**config))


def step(target: Engine, answers: Answers, errors: dict[str, str]) -> None:
    for output in target.step():
        if output.error is not None:
            errors[output.request_id] = output.error
        choices = answers.setdefault(output.request_id, {})
        for delta in output.deltas:
            tokens, text, _ = choices.get(delta.index, ([], "", None))
            choices[delta.index] = ([*tokens, *delta.token_ids], text + delta.text, delta.finish_reason)


def by_itself(target: Engine, wanted: Sequence[Request]) -> Answers:
    answers: Answers = {}
    for one in wanted:
        target.add(one)
        while target.has_work:
            step(target, answers, {})
    return answers


def together(target: Engine, wanted: Sequence[Request], seed: int) -> tuple[Answers, dict[str, str]]:
    """Joining at random steps; answers, and the errors of those that failed."""
    choose = random.Random(seed)
    queue = list(wanted)
    choose.shuffle(queue)
    answers: Answers = {}
    errors: dict[str, str] = {}
    while queue or target.has_work:
        for _ in range(min(len(queue), choose.choice([0, 2, 5, 13]))):
            target.add(queue.pop())
        step(target, answers, errors)
    return answers, errors


@cache
def expected() -> Answers:
    target = engine(byte_policy(), byte_model(5), max_num_seqs=1, enable_prefix_caching=False)
    return by_itself(target, templates(100, 1))


STAGES: list[tuple[Any, str, float]] = [  # where it raises, and at which share of the calls
    (Detokenizer, "push", 0.004),
    (Detokenizer, "flush", 0.01),
    (Matcher, "allowed", 0.01),
    (Matcher, "begin", 0.01),
    (Matcher, "advance", 0.01),
    (Emitter, "_add", 0.004),
    (Emitter, "_summary", 0.02),
    (Emitter, "_report", 0.004),
    (mavis_core.sample.logprobs, "TokenLogprobs", 0.004),
    (mavis_core.sample.prompt_logprobs, "_score", 0.02),
]


def raising(function: Callable[..., Any], hit: set[str], choose: random.Random, share: float) -> Callable[..., Any]:
    """``function``, or an error at random; ``hit`` learns for which request."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if choose.random() < share:
            frame: Any = sys._getframe(1)
            while not isinstance(frame.f_locals.get("row"), Row):
                frame = frame.f_back
            hit.add(frame.f_locals["row"].request.id)
            raise choose.choice([RuntimeError, KeyError, Panic])("injected")
        return function(*args, **kwargs)

    return call


def test_of_a_thousand_requests_those_fail_that_were_hit_and_all_others_are_as_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = [replace(one, id=f"{one.id}/{copy}") for one in templates(100, 1) for copy in range(10)]
    alone_answers = expected()
    target = engine(byte_policy(), byte_model(5))
    choose = random.Random(7)
    by_stage: dict[str, set[str]] = {}
    for owner, name, share in STAGES:
        mine = by_stage[name] = set()
        monkeypatch.setattr(owner, name, raising(getattr(owner, name), mine, choose, share))
    answers, errors = together(target, wanted, 3)
    hit: set[str] = set().union(*by_stage.values())
    assert_idle(target)
    assert set(errors) == hit
    assert all(by_stage.values()), by_stage
    assert 50 < len(hit) < 500
    assert all(error.startswith("the engine failed this request") for error in errors.values())
    for one in wanted:
        if one.id not in hit:
            assert answers[one.id] == alone_answers[one.id.split("/")[0]], one


def spoiled_model(seed: int) -> Any:
    """A model to which one token means NaN: whoever has it in the prompt has it in the KV from there on."""
    model = byte_model(seed)
    with torch.no_grad():
        model.get_input_embeddings().weight[BAD] = torch.nan
    return model


@pytest.mark.parametrize("which", ["policy", "lm"])
def test_numbers_that_are_not_finite_fail_their_request_and_are_never_read_again(which: str) -> None:
    policy = Policy(spoiled_model(3), byte_tokenizer(), "spoiled") if which == "policy" else byte_policy()
    lm = spoiled_model(5) if which == "lm" else byte_model(5)
    good = [one for one in templates(40, 1) if one.sampling.structure is None]
    bad = [
        replace(one, id=f"bad {one.id}", prompt_token_ids=(*one.prompt_token_ids, BAD, *range(97, 97 + i % 9)))
        for i, one in enumerate(good)
        if which == "policy" or "c" in one.guidance.weights
    ]
    alone_answers = expected()
    # Few blocks, so that each soon serves somebody else, in every state of being half full.
    target = engine(policy, lm, kv_cache_tokens=400, max_num_seqs=11)
    for order in range(2):
        answers, errors = together(target, [*good, *bad], order)
        assert_idle(target)
        assert errors == {one.id: NOT_FINITE for one in bad}
        for one in good:
            assert answers[one.id] == alone_answers[one.id], one


def test_what_comes_before_a_number_that_is_not_finite_in_one_part_of_a_prompt_is_read_by_nobody_else() -> None:
    """Within a part every position masks the later ones by adding to them, and so has the bad one's numbers too."""
    policy = Policy(spoiled_model(3), byte_tokenizer(), "spoiled")
    target = engine(policy, byte_model(5), max_num_seqs=2, max_num_batched_tokens=7)
    shared, sampling = tuple(range(97, 109)), SamplingParams(max_tokens=3, seed=1)
    good = Request("good", (*shared, 97), sampling, Guidance())
    alone = by_itself(target, [good])
    target.forget_prefixes()
    errors: dict[str, str] = {}
    together_with_bad: Answers = {}
    target.add(Request("bad", (*shared, BAD, 98, 99, 100), sampling, Guidance()))
    step(target, together_with_bad, errors)
    step(target, together_with_bad, errors)  # the part with the bad token, and the last before it
    target.add(good)
    while target.has_work:
        step(target, together_with_bad, errors)
    assert errors == {"bad": NOT_FINITE}
    assert together_with_bad["good"] == alone["good"]


def test_a_prefix_that_was_not_finite_is_not_found_again() -> None:
    """A number went wrong once, as in a faulty memory: the same prompt is answered the next time."""
    target = engine(byte_policy(), byte_model(5))
    prompt = tuple(range(97, 117))
    wanted = Request("x", prompt, SamplingParams(max_tokens=6, seed=1), Guidance())
    expected = by_itself(target, [wanted])
    target.forget_prefixes()
    target.add(wanted)
    forward = target.policy.backbone.forward

    def wrong(*args: Any) -> torch.Tensor:
        target.pool.data[:, target.scheduler.running[0].blocks[1]] = torch.nan
        return forward(*args) * torch.nan

    target.policy.backbone.forward = wrong  # type: ignore[assignment, method-assign]
    (failed,) = target.step()
    assert failed.error == NOT_FINITE
    del target.policy.backbone.forward
    assert by_itself(target, [wanted]) == expected
    assert target.last_step is not None


def test_the_first_fault_stays_and_the_end_of_the_process_passes() -> None:
    (row,) = rows([3])
    with alone(row, "first"):
        raise ValueError
    with alone(row, "second"):
        raise Panic
    assert row.fault is not None
    assert row.fault.message == "the engine failed this request first: ValueError"
    with pytest.raises(KeyboardInterrupt), alone(row, "third"):
        raise KeyboardInterrupt
