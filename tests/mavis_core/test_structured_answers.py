"""Answers in a structure: valid, equal to the slow reference, and nobody else's business."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import jsonschema
import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import RequestOutput
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.reference import reference_generate
from tests.models import HIDDEN, assert_idle, head_value, objective, request
from tests.structures import BYTE_EOS, byte_model, byte_policy
from tests.thorough import times
from value_models.kinds.head import HeadValue
from value_models.kinds.lm import LmValue
from value_models.loading import build_engine

ITEM = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Item",
    "$defs": {
        "tag": {"type": "string", "pattern": "^[a-z]{2,5}$"},
        "size": {
            "type": "object",
            "properties": {"w": {"type": "integer", "minimum": 1, "maximum": 99}},
            "additionalProperties": False,
        },
    },
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "kind": {"enum": ["book", "film", None, 7]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "maxItems": 3},
        "size": {"$ref": "#/$defs/size", "description": "how wide"},
        "price": {"type": "number", "minimum": 0, "exclusiveMaximum": 100, "multipleOf": 0.5},
        "seen": {"type": ["boolean", "null"]},
    },
    "required": ["name", "kind", "tags", "price"],
    "additionalProperties": False,
}
EVENT = {
    "type": "object",
    "properties": {
        "what": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": "say"}, "text": {"type": "string", "maxLength": 15}},
                    "required": ["kind", "text"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {"kind": {"const": "go"}, "steps": {"type": "integer", "minimum": -5, "maximum": 5}},
                    "required": ["kind", "steps"],
                    "additionalProperties": False,
                },
            ]
        },
        "when": {"anyOf": [{"type": "string", "format": "date"}, {"const": "now"}]},
    },
    "required": ["what", "when"],
    "additionalProperties": False,
}
SCHEMAS: list[dict[str, Any]] = [
    ITEM,
    EVENT,
    {
        "type": "array",
        "items": {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 2},
        "minItems": 2,
        "maxItems": 3,
    },
]


def structure(schema: Any) -> Structure:
    return Structure("json_schema", json.dumps(schema))


STRUCTURES = [
    None,
    structure(EVENT),
    Structure("regex", "[a-f]{2}(-[0-9]{1,3})?"),
    Structure("choice", '["yes", "no", "perhaps", "é"]'),
    Structure("grammar", 'start: "(" start ")" | /[xyz]/'),
    structure(SCHEMAS[2]),
    Structure("regex", "a*"),
]
SETTINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"temperature": 0}, {}),
    ({"top_k": 3, "min_tokens": 9}, {}),
    ({"top_p": 0.7, "ignore_eos": True, "repetition_penalty": 1.3, "presence_penalty": 0.4}, {}),
    ({"logit_bias": {BYTE_EOS: 30.0, 97: 3.0}}, {}),
    ({}, {"weights": {"a": 2.0, "b": -1.0}, "beta": 3.0, "top_k": 5}),
    ({}, {"weights": {"a": 2.0, "b": -1.0}, "beta": 3.0, "top_k": 5, "scope": "all"}),
    ({"logit_bias": {BYTE_EOS: 30.0}}, {"weights": {"a": 2.0}, "beta": 3.0, "top_k": 40}),
    (
        {"min_p": 0.02, "stop_token_ids": (120, 49)},
        {"weights": {"b": 4.0}, "beta": 2.0, "max_kl_per_token": 0.1, "scope": "all"},
    ),
    ({}, {"weights": {"c": 4.0, "b": 1.0}, "beta": 2.0, "top_k": 7}),
    ({"temperature": 0}, {"weights": {"b": 4.0}, "beta": 2.0, "normalise": "minmax", "allow_empty": True}),
    ({"stop_token_ids": (34,)}, {"weights": {"c": 4.0, "b": 1.0}, "beta": 2.0, "top_k": 40, "scope": "all"}),
]


@cache
def values() -> list[HeadValue | LmValue]:
    torch.manual_seed(8)
    lm = LmValue("lm-c", [objective("c")], byte_model(5), torch.nn.Linear(HIDDEN, 1))
    return [HeadValue.stack([head_value(byte_policy(), "a", seed=1), head_value(byte_policy(), "b", seed=2)]), lm]


def tiny_engine(**config: Any) -> Engine:
    defaults: dict[str, Any] = {"block_size": 5, "max_num_seqs": 23, "max_num_batched_tokens": 29}
    return Engine(byte_policy(), values(), EngineConfig(**{**defaults, **config}))


def wanted(n: int = 1) -> list[tuple[list[int], SamplingParams, Guidance]]:
    """Every structure with every setting, in an order that mixes them."""
    pairs = [(form, setting) for setting in SETTINGS for form in STRUCTURES]
    return [
        (
            [97 + (i * j) % 26 for j in range(1 + i % 7)],
            SamplingParams(**{"max_tokens": 40, "seed": i, "structure": form, "n": n, **sampling}),
            Guidance(**guidance),
        )
        for i, (form, (sampling, guidance)) in enumerate(pairs)
    ]


def run(engine: Engine, n: int = 1, every: int = 1) -> list[list[CompletionOutput] | str]:
    """Answers of every so many of ``wanted``; the error of one that could not go on."""
    outputs: dict[str, list[RequestOutput]] = {}
    for i, one in enumerate(wanted(n)[::every]):
        engine.add(request(str(i), *one))
    while engine.has_work:
        for output in engine.step():
            outputs.setdefault(output.request_id, []).append(output)
    assert_idle(engine)
    answers: list[list[CompletionOutput] | str] = []
    for i in range(len(wanted()[::every])):
        found = outputs[str(i)]
        if found[-1].error is not None:
            assert found[-1].error_param == "structure"
            answers.append(found[-1].error)
            continue
        choices = [CompletionOutput(index) for index in range(n)]
        for delta in (delta for output in found for delta in output.deltas):
            choices[delta.index].token_ids += delta.token_ids
            choices[delta.index].text += delta.text
            choices[delta.index].finish_reason = delta.finish_reason
            choices[delta.index].guidance = delta.guidance
        answers.append(choices)
    return answers


def tokens(answers: list[list[CompletionOutput] | str]) -> list[list[tuple[list[int], str, str | None]] | str]:
    """Without the KL, whose last digits depend on the batch."""
    return [a if isinstance(a, str) else [(c.token_ids, c.text, c.finish_reason) for c in a] for a in answers]


@cache
def together() -> list[list[CompletionOutput] | str]:
    return run(tiny_engine())


def test_batched_equals_the_reference() -> None:
    stopped = guided = 0
    every = times(2, 1)  # an odd number of structures: every setting meets every second of them
    for (prompt, sampling, guidance), answer in zip(wanted()[::every], together()[::every], strict=True):
        policy, beta = byte_policy(), guidance.beta or 0.0
        if isinstance(answer, str):
            with pytest.raises(AssertionError, match="cannot go on"):
                reference_generate(policy, values(), prompt, sampling, guidance, beta)
            continue
        expected = reference_generate(policy, values(), prompt, sampling, guidance, beta)
        assert answer[0].token_ids == expected.tokens, (sampling, guidance)
        stopped += answer[0].finish_reason == "stop"
        if guidance.active:
            guided += 1
            assert answer[0].guidance is not None
            assert answer[0].guidance.steering_nats == pytest.approx(sum(expected.steering), abs=2e-4)
            assert answer[0].guidance.truncation_nats == pytest.approx(sum(expected.truncation), abs=2e-4)
    assert stopped > 20 and guided > 20


def test_what_stops_is_whole() -> None:
    for (_, sampling, guidance), answer in zip(wanted(), together(), strict=True):
        form = sampling.structure
        if form is None or isinstance(answer, str) or answer[0].finish_reason != "stop":
            continue
        text = answer[0].text
        match form.kind:
            case "json_schema":
                jsonschema.validate(json.loads(text), json.loads(form.source))
            case "regex":
                assert re.fullmatch(form.source, text), (text, sampling)
                assert text or not guidance.active or guidance.scope != "all", "steered answers are not empty"
            case "choice":
                assert text in json.loads(form.source)
            case "grammar":
                assert re.fullmatch(r"(\(*)[xyz](\)*)", text) and text.count("(") == text.count(")")


def test_each_gets_what_it_gets_alone() -> None:
    """Guided or not, with a structure or without: the batch, its blocks and its neighbours do not show."""
    expected = tokens(together())
    assert tokens(run(tiny_engine(max_num_seqs=1), every=4)) == expected[::4]
    assert tokens(run(tiny_engine(max_num_batched_tokens=3, max_num_seqs=3, block_size=1), every=3)) == expected[::3]


def test_forks_and_preemption_do_not_show() -> None:
    roomy = tokens(run(tiny_engine(), n=3, every=2))
    assert tokens(run(tiny_engine(kv_cache_tokens=130), n=3, every=2)) == roomy
    pairs = list(zip(roomy, tokens(together())[::2], strict=True))
    whole = [
        (several[0], single[0])
        for several, single in pairs
        if not isinstance(several, str) and not isinstance(single, str)
    ]
    assert len(whole) > 20
    assert all(first == single for first, single in whole)


def one(engine: Engine, form: Structure, guidance: Guidance | None = None, **sampling: Any) -> CompletionOutput:
    ((answer,),) = generate(
        engine, [[97, 98]], SamplingParams(**{"max_tokens": 30, "seed": 5, "structure": form, **sampling}), guidance
    )
    return answer


def test_a_complete_answer_ends_without_a_stop_token() -> None:
    for settings in ({}, {"ignore_eos": True}, {"min_tokens": 20}):
        answer = one(tiny_engine(), Structure("choice", '["ab"]'), **settings)
        assert (answer.text, answer.finish_reason, answer.token_ids) == ("ab", "stop", [97, 98]), settings


@pytest.mark.parametrize("settings", [{}, {"ignore_eos": True}, {"min_tokens": 20}])
@pytest.mark.parametrize("guidance", [Guidance(), Guidance({"a": 1.0}, beta=1.0)])
def test_where_only_the_end_is_allowed_bans_yield(settings: dict[str, Any], guidance: Guidance) -> None:
    answer = one(tiny_engine(), Structure("choice", '[""]'), guidance, **settings)
    assert (answer.text, answer.finish_reason, answer.stop_reason) == ("", "stop", None)


def test_length_cuts_and_stop_strings_end_anywhere() -> None:
    cut = one(tiny_engine(), Structure("choice", '["abcdef"]'), max_tokens=3)
    assert (cut.text, cut.finish_reason) == ("abc", "length")
    stopped = one(tiny_engine(), Structure("choice", '["abcdef"]'), stop=("cd",))
    assert (stopped.text, stopped.finish_reason, stopped.stop_reason) == ("ab", "stop", "cd")


def test_candidates_come_from_the_mask() -> None:
    """The tilt acts inside it: with two allowed tokens, k = 40 truncates nothing and both are reachable."""
    engine = tiny_engine()
    texts = set()
    for seed in range(20):
        answer = one(
            engine,
            Structure("choice", '["q", "z"]'),
            Guidance({"a": 1.0}, beta=1.0, scope="all"),
            seed=seed,
            temperature=2.0,
        )
        assert answer.guidance is not None
        assert answer.guidance.truncation_nats == pytest.approx(0, abs=1e-5)
        assert answer.guidance.steering_nats > 0
        assert answer.guidance.topk_base_mass == pytest.approx(1, abs=1e-5)
        texts.add(answer.text)
    assert texts == {"q", "z"}


def test_what_cannot_go_on_fails_alone() -> None:
    engine = tiny_engine()
    ok = SamplingParams(max_tokens=9, seed=1, n=2)
    engine.add(request("explodes", [97], SamplingParams(n=3, max_tokens=9, structure=Structure("regex", "a{1000000}"))))
    stuck = SamplingParams(max_tokens=9, structure=Structure("choice", '["ab"]'), stop_token_ids=(98,))
    engine.add(request("stuck", [97], stuck, Guidance({"a": 1.0}, beta=1.0)))
    engine.add(request("fine", [97], ok))
    last = {output.request_id: output for _ in range(12) for output in engine.step()}
    assert last["explodes"].error is not None and "too complex" in last["explodes"].error
    assert last["stuck"].error is not None and "no token of the vocabulary" in last["stuck"].error
    assert all(last[name].error_param == "structure" and last[name].finished for name in ("explodes", "stuck"))
    assert last["fine"].error is None and last["fine"].finished
    assert_idle(engine)
    with pytest.raises(InvalidRequestError, match="too complex"):
        one(engine, Structure("regex", "a{1000000}"))
    assert_idle(engine)


def test_refused_before_it_is_queued() -> None:
    engine = tiny_engine()
    with pytest.raises(InvalidRequestError, match=r"regex: .*unclosed group"):
        engine.add(request("r", [97], SamplingParams(structure=Structure("regex", "(a"))))
    assert_idle(engine)


def test_sampled_json_of_the_shipped_model_is_valid() -> None:
    """A small part of claim B (``benchmarks/structure.py``): T = 1, random weights, three schemas, 30 answers."""
    engine = build_engine(None, [], EngineConfig(device="cpu"))
    prompts, samplings, guidances = [], [], []
    for i in range(30):
        prompts.append(engine.tokenizer.encode("<|begin|><|user|>Hello there!<|end|><|assistant|>"))  # type: ignore[union-attr]
        samplings.append(SamplingParams(max_tokens=150, seed=i, structure=structure(SCHEMAS[i % 3])))
        weights = {"cheerful": (i % 7) - 3.0, "concise": (i % 5) - 2.0, "curious": (i % 3) - 1.0}
        guidances.append(Guidance(weights if i % 4 else {}, beta=1.0))
    answers = generate(engine, prompts, samplings, guidances)
    stopped = 0
    for i, (answer,) in enumerate(answers):
        if answer.finish_reason == "stop":
            stopped += 1
            jsonschema.validate(json.loads(answer.text), SCHEMAS[i % 3])
    assert stopped >= 27
