"""Prompts are scored as transformers scores them, whole or in chunks, once; and max_tokens=0 only reads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import RequestOutput, TokenLogprobs
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from mavis_core.sample import prompt_logprobs
from tests.models import VOCAB, assert_idle, mixed_values, request, tiny_model, tiny_policy

PROMPT = [3 + (7 * i + i * i) % (VOCAB - 3) for i in range(29)]


def engine(**config: Any) -> Engine:
    settings = EngineConfig(**{"block_size": 5, "max_num_seqs": 7, "max_num_batched_tokens": 64, **config})
    return Engine(tiny_policy("llama"), mixed_values("llama"), settings)


def outputs(target: Engine) -> list[RequestOutput]:
    found = []
    while target.has_work:
        found += target.step()
    assert_idle(target)
    return found


def scored(found: list[RequestOutput], name: str = "r") -> tuple[TokenLogprobs | None, ...]:
    """The request's prompt log-probabilities, which come in its first output and in no other."""
    first, *others = [output for output in found if output.request_id == name]
    assert all(output.prompt_logprobs is None for output in others)
    assert first.prompt_logprobs is not None
    return first.prompt_logprobs


def check(found: tuple[TokenLogprobs | None, ...], prompt: list[int], count: int) -> None:
    """Equal to transformers' log-softmax."""
    expected = tiny_model("llama")(input_ids=torch.tensor([prompt])).logits[0].log_softmax(1)
    assert len(found) == len(prompt)
    assert found[0] is None
    for i, at in enumerate(found[1:], 1):
        assert at is not None
        assert at.token_id == prompt[i]
        assert at.logprob == pytest.approx(expected[i - 1, prompt[i]].item(), abs=1e-4)
        top, ids = expected[i - 1].topk(count)
        assert [token for token, _ in at.top] == ids.tolist()
        assert [logprob for _, logprob in at.top] == pytest.approx(top.tolist(), abs=1e-4)


@pytest.mark.parametrize("tokens", [64, 28, 14, 7])
@pytest.mark.parametrize("count", [0, 5])
@torch.inference_mode()
def test_equal_to_transformers_whole_and_in_chunks(monkeypatch: pytest.MonkeyPatch, tokens: int, count: int) -> None:
    """A chunk that ends one token before the prompt does is among them (28 of 29), and so are several slices."""
    monkeypatch.setattr(prompt_logprobs, "SLICE", 6)
    target = engine(max_num_batched_tokens=tokens)
    target.add(request("r", PROMPT, SamplingParams(max_tokens=3, seed=1, prompt_logprobs=count)))
    check(scored(outputs(target)), PROMPT, count)


@torch.inference_mode()
def test_beside_other_rows_guided_and_for_several_choices() -> None:
    target = engine()
    target.add(request("old", PROMPT[:4], SamplingParams(max_tokens=20, ignore_eos=True)))
    target.step()
    target.add(request("other", PROMPT[5:12], guidance=Guidance({"c": 1.0}, beta=1.0)))
    wanted = SamplingParams(max_tokens=5, n=3, prompt_logprobs=2)
    target.add(request("r", PROMPT[::-1], wanted, Guidance({"a": 2.0}, beta=2.0)))
    found = outputs(target)
    check(scored(found), PROMPT[::-1], 2)
    assert all(output.prompt_logprobs is None for output in found if output.request_id != "r")


@torch.inference_mode()
def test_a_preempted_prompt_is_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    score = prompt_logprobs._score

    def counting(policy: Any, tokens: list[int], *others: Any) -> list[TokenLogprobs]:
        calls.append(len(tokens))
        return score(policy, tokens, *others)

    monkeypatch.setattr(prompt_logprobs, "_score", counting)
    target = engine(max_num_batched_tokens=7, kv_cache_tokens=40)
    target.add(request("old", PROMPT[:4], SamplingParams(max_tokens=30, ignore_eos=True, seed=1)))
    target.step()
    target.add(request("r", PROMPT, SamplingParams(max_tokens=4, seed=1, prompt_logprobs=1)))
    found, preempted = [], 0
    while target.has_work:
        found += target.step()
        assert target.last_step is not None
        preempted += target.last_step.preemptions
    assert preempted
    check(scored(found), PROMPT, 1)
    assert sum(calls) == len(PROMPT) - 1


def test_no_tokens_only_reads_the_prompt() -> None:
    """No token, no text, one output; the KV is given back."""
    target = engine(max_num_batched_tokens=8)
    wanted = SamplingParams(max_tokens=0, n=2, prompt_logprobs=0, logprobs=1)
    target.add(request("r", PROMPT, wanted, Guidance({"a": 1.0, "c": 1.0}, beta=1.0)))
    (output,) = outputs(target)
    assert output.finished
    assert len(output.prompt_logprobs or ()) == len(PROMPT)
    ends = [(d.index, d.text, d.token_ids, d.logprobs, d.finish_reason, d.guidance) for d in output.deltas]
    assert ends == [(0, "", (), (), "length", None), (1, "", (), (), "length", None)]


def test_a_prompt_of_one_token_has_nothing_to_score() -> None:
    ((choice,),) = generate(engine(), [[5]], SamplingParams(max_tokens=1, prompt_logprobs=3))
    assert choice.prompt_logprobs == (None,)
