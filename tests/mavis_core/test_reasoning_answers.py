"""Structures begin behind the reasoning: equal to the slow reference, and valid."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from tokenizers import AddedToken

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.reasoning import Reasoning
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import CompletionOutput, generate
from mavis_core.reference import reference_generate
from tests.models import assert_idle, byte_tokenizer, head_value, request, tiny_policy
from tests.structures import BYTE_EOS, byte_model

BEGIN, END = 257, 258  # tokens of their own, beside the letters that spell them
JSON = Structure(
    "json_schema", '{"type": "object", "properties": {"a": {"enum": [1, 22]}}, "additionalProperties": false}'
)
THINK = Reasoning("<think>", "</think>")
OPENED = Reasoning("<think>", "</think>", opened=True)
ANSWERS = [{}, {"a": 1}, {"a": 22}]


@cache
def policy() -> Policy:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=True)])
    assert tokenizer.convert_tokens_to_ids(["<think>", "</think>"]) == [BEGIN, END]
    return Policy(byte_model(3), tokenizer, "tiny-thinker")


def engine() -> Engine:
    value = head_value(policy(), "a", seed=1)
    return Engine(policy(), [value], EngineConfig(block_size=5, max_num_seqs=7, max_num_batched_tokens=29))


def asked(reasoning: Reasoning | None, seed: int, **more: Any) -> SamplingParams:
    """Biased so that reasoning begins where it may, and ends after some tokens; stop tokens are always tempting."""
    bias = {BEGIN: 8.0, END: 7.0, BYTE_EOS: 4.0}
    given: dict[str, Any] = {"max_tokens": 60, "seed": seed, "structure": JSON, "logit_bias": bias,
                             "shown_token_ids": (END,), "reasoning": reasoning}  # fmt: skip
    return SamplingParams(**given | more)


REQUESTS = [asked(reasoning, seed) for reasoning in (None, THINK, OPENED) for seed in range(4)]
REQUESTS += [asked(THINK, 5, logit_bias={BEGIN: -100.0}), asked(OPENED, 6, min_tokens=9, stop_token_ids=(98,)),
             asked(OPENED, 7, ignore_eos=True)]  # fmt: skip
GUIDANCES = [Guidance({"a": 2.0}, beta=2.0) if i % 3 == 1 else Guidance() for i in range(len(REQUESTS))]


@cache
def answers() -> list[CompletionOutput]:
    target = engine()
    found = generate(target, [[97, 98, 97 + i] for i in range(len(REQUESTS))], REQUESTS, GUIDANCES)
    assert_idle(target)
    return [choice for (choice,) in found]


def test_what_is_behind_the_reasoning_has_the_structure() -> None:
    thought = finished = 0
    for sampling, answer in zip(REQUESTS, answers(), strict=True):
        before, ended, said = answer.text.partition("</think>")
        assert bool(ended) == (END in answer.token_ids)
        if answer.finish_reason == "stop":  # the others are still in their reasoning
            finished += 1
            assert json.loads(said if ended else before) in ANSWERS
        else:
            assert not ended and sampling.reasoning is not None
        if ended:
            thought += 1
            assert before.startswith("<think>") or (sampling.reasoning and sampling.reasoning.opened)
    assert thought >= 8 and finished >= len(REQUESTS) - 2


def test_who_may_reason_need_not() -> None:
    plain = answers()[len(REQUESTS) - 3]
    assert json.loads(plain.text) in ANSWERS


def test_stop_tokens_do_not_end_an_answer_inside_its_reasoning() -> None:
    (answer,) = generate(engine(), [[97]], asked(OPENED, 1, logit_bias={END: -100.0, BYTE_EOS: 50.0}))[0]
    assert (answer.finish_reason, len(answer.token_ids)) == ("length", 60)
    free = asked(OPENED, 1, logit_bias={END: -100.0, BYTE_EOS: 50.0}, structure=None)
    (answer,) = generate(engine(), [[97]], free)[0]
    assert (answer.finish_reason, answer.text) == ("stop", ""), "without a structure there is nothing to keep"


def test_a_stop_string_ends_it_anywhere() -> None:
    whole = answers()[8].text
    stop = whole[3:5]
    (answer,) = generate(engine(), [[97, 98, 97 + 8]], asked(OPENED, 0, stop=(stop,)), GUIDANCES[8])[0]
    assert (answer.finish_reason, answer.stop_reason) == ("stop", stop)
    assert answer.text == whole[: whole.index(stop)]


@pytest.mark.parametrize("i", range(0, len(REQUESTS), 2))
def test_equal_to_the_reference(i: int) -> None:
    value = head_value(policy(), "a", seed=1)
    slow = reference_generate(policy(), [value], [97, 98, 97 + i], REQUESTS[i], GUIDANCES[i], 2.0)
    assert answers()[i].token_ids == slow.tokens


def test_rows_know_where_they_stand() -> None:
    target, seen = engine(), []
    target.add(request("r", [97, 98, 105], asked(OPENED, 0)))
    (row,) = target._in_flight()
    while target.has_work:
        reasons = row.reasons
        for output in target.step():
            seen += [(token, reasons, row.reasoned) for delta in output.deltas for token in delta.token_ids]
    at = [token for token, _, _ in seen].index(END)
    assert [(reasons, reasoned) for _, reasons, reasoned in seen] == [(True, True)] * (at + 1) + [(False, False)] * (
        len(seen) - at - 1
    )


def test_an_answer_that_goes_on_knows_where_it_stands() -> None:
    target = engine()
    for name, there in (("inside", (104, 105)), ("behind", (104, END, 105))):
        sampling = asked(OPENED, 0, structure=None)
        target.add(Request(name, (97,), sampling, Guidance(), output_token_ids=there))
    places = {row.request.id: row.reasoning and row.reasoning.place for row in target._in_flight()}
    assert places == {"inside": "inside", "behind": "behind"}


def test_an_engine_without_text_refuses_it() -> None:
    target = Engine(tiny_policy("llama"), [], EngineConfig())
    with pytest.raises(InvalidRequestError, match="reasoning: this engine has no tokenizer"):
        target.add(request("r", [3], SamplingParams(reasoning=OPENED)))
