"""Bias, banned stop tokens and penalties, against the equations written out token by token."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.sample.logit_edits import LogitEdits
from mavis_core.schedule.row import Row
from tests.mavis_core.rows import STOP, rows

VOCAB, CPU = 11, torch.device("cpu")
TOKENS = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=6)
SAMPLINGS = st.builds(
    SamplingParams,
    presence_penalty=st.sampled_from([0.0, 0.7, -1.3]),
    frequency_penalty=st.sampled_from([0.0, 0.3, -0.9]),
    repetition_penalty=st.sampled_from([1.0, 1.7, 0.4]),
    logit_bias=st.dictionaries(st.integers(0, VOCAB - 1), st.floats(-9, 9), max_size=3),
    min_tokens=st.sampled_from([0, 2]),
    ignore_eos=st.booleans(),
    stop_token_ids=st.sampled_from([(), (3,), (3, 5)]),
)


def row(prompt: list[int], output: list[int], sampling: SamplingParams, guidance: Guidance | None = None) -> Row:
    (made,) = rows(prompt, sampling, guidance)
    made.tokens += output
    return made


def slowly(raw: list[float], prompt: list[int], output: list[int], sampling: SamplingParams) -> list[float]:
    """ell of one row: bias; stop tokens before ``min_tokens``; repetition over all, the others over the output."""
    edited = [x + sampling.logit_bias.get(a, 0.0) for a, x in enumerate(raw)]
    stops = {*(() if sampling.ignore_eos else (STOP,)), *sampling.stop_token_ids}
    for a, x in enumerate(edited):
        if a in stops and len(output) < sampling.min_tokens:
            x = -math.inf
        if a in prompt or a in output:
            x = x / sampling.repetition_penalty if x > 0 else x * sampling.repetition_penalty
        edited[a] = x - sampling.frequency_penalty * output.count(a) - sampling.presence_penalty * (a in output)
    return edited


@settings(max_examples=25)
@given(asked=st.lists(st.tuples(TOKENS, TOKENS, SAMPLINGS), min_size=1, max_size=4))
def test_equals_the_equations_row_by_row(asked: list[tuple[list[int], list[int], SamplingParams]]) -> None:
    """Also after one more token was drawn, without being built again."""
    batch = [row(*one) for one in asked]
    raw = torch.randn(len(batch), VOCAB, generator=torch.Generator().manual_seed(len(asked)))
    edits = LogitEdits(batch, VOCAB, CPU)
    for drawn in range(2):
        untouched = raw.clone()
        found = edits.apply(raw)
        assert torch.equal(raw, untouched)
        for i, (prompt, output, sampling) in enumerate(asked):
            expected = slowly(
                raw[i].tolist(), prompt, [*output, *batch[i].tokens[len(prompt) + len(output) :]], sampling
            )
            torch.testing.assert_close(found[i], torch.tensor(expected))
        tokens = torch.tensor([(5 * i + drawn) % VOCAB for i in range(len(batch))])
        edits.advance(tokens)
        for each, token in zip(batch, tokens.tolist(), strict=True):
            each.tokens.append(token)


def test_rows_that_ask_for_nothing_cost_nothing() -> None:
    raw = torch.randn(2, VOCAB)
    assert LogitEdits([row([1], [], SamplingParams()), row([2], [3], SamplingParams())], VOCAB, CPU).apply(raw) is raw


@pytest.mark.parametrize(("allowed", "output", "banned"), [(False, [], True), (False, [4], False), (True, [], False)])
def test_a_guided_answer_does_not_begin_with_its_end(allowed: bool, output: list[int], banned: bool) -> None:
    """Unless it may be empty."""
    steered = row([1], output, SamplingParams(), Guidance({"a": 1.0}, allow_empty=allowed))
    plain = row([1], output, SamplingParams())
    found = LogitEdits([steered, plain], VOCAB, CPU).apply(torch.zeros(2, VOCAB))
    assert found[:, STOP].isinf().tolist() == [banned, False]
    assert found.isinf().sum() == banned


def test_a_resumed_rows_own_tokens_count_as_output() -> None:
    (resumed,) = rows([1], SamplingParams(frequency_penalty=1.0, max_tokens=5))
    resumed.request = replace(resumed.request, output_token_ids=(4, 4))
    resumed.tokens += [4, 4]
    assert LogitEdits([resumed], VOCAB, CPU).apply(torch.zeros(1, VOCAB))[0, 4] == -2.0
