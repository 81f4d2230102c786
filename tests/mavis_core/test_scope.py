"""What is steered: the answer, its reasoning or all of it; anything else is drawn as an unguided row draws it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.reasoning import Reasoning
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.reference import reference_generate
from tests.models import HIDDEN, assert_idle, head_value, mixed_engine, objective
from tests.structures import BYTE_EOS, byte_model, byte_policy
from value_models.kinds.head import HeadValue
from value_models.kinds.lm import LmValue

LENGTH = 8
OPENED, THINKS = Reasoning("<", ">", opened=True), Reasoning("<", ">")
OFTEN = {ord("<"): 5.0, ord(">"): 4.5, ord("["): 4.5}  # marks come within a few tokens
SAYS = Structure(
    "json_schema",
    json.dumps(
        {
            "type": "object",
            "properties": {"a": {"type": "string", "maxLength": 6}, "n": {"type": "integer", "maximum": 9}},
            "required": ["a", "n"],
            "additionalProperties": False,
        }
    ),
)
MARKED: list[dict[str, Any]] = [
    {"reasoning": OPENED},
    {"reasoning": THINKS},
    {"calls": ("[",)},
    {"calls": ("",)},
    {"reasoning": OPENED, "calls": ("[",), "temperature": 0.7, "top_k": 40},
    {"structure": SAYS, "logit_bias": {}, "max_tokens": 13},
    {},
]
WEIGHTS: list[dict[str, float]] = [{"a": 4.0, "b": -2.0}, {"c": -4.0, "a": 1.0}, {"told": 2.0}]
PROMPT, TOLD = [97, 98, 99, 100, 101], [116, 111, 108, 100, 97, 98, 99, 100, 101]


@cache
def values() -> list[HeadValue | LmValue]:
    torch.manual_seed(8)
    lm = LmValue("lm-c", [objective("c")], byte_model(5), torch.nn.Linear(HIDDEN, 1))
    return [HeadValue.stack([head_value(byte_policy(), "a", seed=1), head_value(byte_policy(), "b", seed=2)]), lm]


def engine(**config: Any) -> Engine:
    return Engine(byte_policy(), values(), EngineConfig(**{"block_size": 5, "max_num_seqs": 31, **config}))


def cases() -> list[tuple[SamplingParams, Guidance]]:
    """Every scope where it means something, with every kind of value, and requests without any among them."""
    found = []
    for i, marked in enumerate(MARKED):
        for j, weights in enumerate([*WEIGHTS, {}]):
            scope = ("answer", "all", "reasoning")[(i + j) % (3 if "reasoning" in marked else 2)]
            sampling = SamplingParams(**{"max_tokens": LENGTH, "seed": 9 * i + j, "logit_bias": OFTEN, **marked})
            limit = 0.7 if j == 1 else None
            guidance = Guidance(weights, beta=1.5, top_k=5, scope=scope, report=True, max_kl_per_token=limit)  # type: ignore[arg-type]
            found.append((sampling, guidance))
    return found


def in_words(guidance: Guidance) -> tuple[PromptedObjective, ...]:
    return (PromptedObjective("told", tuple(TOLD)),) if "told" in guidance.weights else ()


def answers(target: Engine, wanted: Sequence[tuple[SamplingParams, Guidance]]) -> list[CompletionOutput]:
    samplings, guidances = [s for s, _ in wanted], [g for _, g in wanted]
    words = [in_words(guidance) for guidance in guidances]
    found = generate(target, [PROMPT] * len(wanted), samplings, guidances, prompted=words)
    assert_idle(target)
    return [choices[0] for choices in found]


@cache
def together() -> list[CompletionOutput]:
    return answers(engine(), cases())


def test_a_mixed_batch_equals_the_reference() -> None:
    steered = left = 0
    for (sampling, guidance), answer in zip(cases(), together(), strict=True):
        expected = reference_generate(
            byte_policy(), values(), PROMPT, sampling, guidance, 1.5, prompted=in_words(guidance)
        )
        assert answer.token_ids == expected.tokens, (sampling, guidance)
        if answer.guidance is None:
            continue
        assert answer.guidance.tokens == len(expected.steering)
        assert answer.guidance.steering_nats == pytest.approx(sum(expected.steering), abs=2e-4)
        assert answer.guidance.truncation_nats == pytest.approx(sum(expected.truncation), abs=2e-4)
        steered += answer.guidance.tokens
        left += len(answer.token_ids) - answer.guidance.tokens
    assert steered > 30 and left > 30, "both happen"


def test_each_gets_what_it_gets_alone() -> None:
    expected = [answer.token_ids for answer in together()]
    narrow = answers(engine(max_num_seqs=2, max_num_batched_tokens=3), cases()[::5])
    assert [answer.token_ids for answer in narrow] == expected[::5]
    pressed = answers(engine(kv_cache_tokens=90, max_model_len=60), cases()[1::3])
    assert [answer.token_ids for answer in pressed] == expected[1::3]


def test_reports_say_which_tokens_count() -> None:
    for answer in filter(lambda answer: answer.guidance is not None, together()):
        stats, reports = answer.guidance, answer.reports
        assert stats is not None and len(reports) == len(answer.token_ids)
        counted = [report for report in reports if report.steered]
        assert len(counted) == stats.tokens
        assert stats.steering_nats == pytest.approx(sum(r.steering_nats for r in counted), abs=1e-4)
        for name, mean in stats.values.items():
            assert mean == pytest.approx(sum(r.values[name] for r in counted) / max(1, len(counted)), abs=1e-4)
        for report in reports:
            if not report.steered:
                assert (report.steering_nats, report.truncation_nats) == (0, 0)
                assert report.logprob == report.base_logprob


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"temperature": 1.3, "top_p": 0.8, "repetition_penalty": 1.3, "n": 3},
        {"min_p": 0.05, "logit_bias": {BYTE_EOS: 4.0}},
    ],
)
def test_calls_are_those_of_an_unguided_request(weights: dict[str, float], settings: dict[str, Any]) -> None:
    """Tokens, log-probabilities and ends, an empty answer among them, though 3 candidates would leave out most."""
    sampling = SamplingParams(**{"max_tokens": LENGTH, "calls": ("",), "seed": 7, "logprobs": 2, **settings})
    guidance = Guidance(weights, beta=8.0, top_k=3)
    found = generate(engine(), [PROMPT, PROMPT], sampling, [guidance, Guidance()], prompted=[in_words(guidance), ()])
    for steered, plain in zip(*found, strict=True):
        assert steered.token_ids == plain.token_ids
        assert steered.finish_reason == plain.finish_reason
        for mine, theirs in zip(steered.logprobs, plain.logprobs, strict=True):
            assert [t for t, _ in mine.top] == [t for t, _ in theirs.top]
            assert (mine.logprob, mine.drawn_logprob) == pytest.approx((theirs.logprob, theirs.drawn_logprob), abs=1e-5)
        assert steered.guidance is not None
        assert (steered.guidance.tokens, steered.guidance.steering_nats) == (0, 0)
    everywhere = generate(
        engine(), [PROMPT], sampling, Guidance(weights, beta=8.0, top_k=3, scope="all"), prompted=[in_words(guidance)]
    )
    assert [c.token_ids for c in everywhere[0]] != [c.token_ids for c in found[1]], "the weights would change it"


def test_the_answer_after_reasoning_goes_on_from_unsteered_tokens() -> None:
    """Values with a cache have read them: the KL of the first steered token is that of a prompt with them in it."""
    sampling = SamplingParams(max_tokens=LENGTH, seed=4, logit_bias={ord(">"): 3.0}, reasoning=OPENED)
    guidance = Guidance({"c": 3.0}, beta=2.0, report=True)
    (answer,) = answers(engine(), [(sampling, guidance)])
    first = next(i for i, report in enumerate(answer.reports) if report.steered)
    assert 0 < first < LENGTH
    later = SamplingParams(max_tokens=1, seed=4, logit_bias={ord(">"): 3.0})
    behind = generate(engine(), [PROMPT + answer.token_ids[:first]], later, Guidance({"c": 3.0}, beta=2.0, report=True,
                                                                                     allow_empty=True))  # fmt: skip
    report = behind[0][0].reports[0]
    assert answer.reports[first].steering_nats == pytest.approx(report.steering_nats, abs=1e-4)


def test_free_text_of_a_structure_is_steered_and_its_literals_are_not() -> None:
    sampling = SamplingParams(max_tokens=40, seed=3, structure=SAYS)
    (answer,) = answers(engine(), [(sampling, Guidance({"a": 2.0}, beta=1.0, report=True))])
    text = bytes(answer.token_ids)
    assert text.startswith(b'{"a":"'), text
    begin, behind = len(b'{"a":"'), text.index(b'","n":') + 1
    assert begin < behind - 4
    for i, (byte, report) in enumerate(zip(text, answer.reports, strict=True)):
        if i == behind - 1:  # the quote: at the longest a string may be nothing else is left
            continue
        continues = byte >= 0x80 and byte & 0xC0 == 0x80  # a character: hardly a choice, and so is an escape's letter
        assert report.steered == (begin <= i < behind and not continues and text[i - 1] != ord("\\")), (text, i)


def test_scopes_that_mean_nothing() -> None:
    with pytest.raises(InvalidRequestError, match=r"guidance\.scope='tools': must be 'answer', 'all', 'reasoning'"):
        Guidance({"a": 1.0}, scope="tools")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match=r"guidance\.scope='reasoning': no reasoning is told apart"):
        answers(engine(), [(SamplingParams(max_tokens=1), Guidance({"a": 1.0}, scope="reasoning"))])
    with pytest.raises(InvalidRequestError, match="calls: this engine has no tokenizer"):
        generate(mixed_engine(), [[1, 2]], SamplingParams(max_tokens=1, calls=("[",)), Guidance({"a": 1.0}))
    with pytest.raises(InvalidRequestError, match="calls: 7: must be"):
        SamplingParams(calls=(7,))  # type: ignore[arg-type]
