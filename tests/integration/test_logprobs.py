"""Reported log-probabilities of the model that ships, recomputed with plain transformers: its forward, its hidden
states, the value networks applied to them, and the method's equations written out once more. Nothing of the engine is
used for it, neither cache nor batch nor tilt. All to 1e-3 nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.text.token_bytes import token_bytes_of
from server.text.token_text import TokenText
from tests.models import text_policy
from tests.vocabularies import KINDS
from value_models.kinds.head_network import HeadNetwork, unit_rms
from value_models.kinds.lm_backbone import build_lm
from value_models.loading import SHIPPED_HEADS, SHIPPED_LM, SHIPPED_POLICY, build_engine
from value_models.value_config import WEIGHTS_FILE, ValueConfig

NATS = 1e-3
TOP = 20
PROMPTS = [
    f"<|begin|><|user|>{text}<|end|><|assistant|>"
    for text in ("How was your day?", "I lost my keys again and I am late for work.", "Tell me about your family.")
]
PLAIN: list[dict[str, Any]] = [
    {},
    {"temperature": 0.6, "top_p": 0.9, "top_k": 30},
    {"logit_bias": {17: 3.0, 300: -2.0}, "repetition_penalty": 1.3, "frequency_penalty": 0.4, "min_tokens": 3},
]
# With 20 candidates the 20 alternatives are the whole distribution.
STEERED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"weights": {"cheerful": 1.0}}),
    ({"temperature": 0.7}, {"weights": {"concise": 0.8, "curious": -0.5}, "beta": 2.0, "top_k": 20}),
    (
        {"temperature": 1.3, "logit_bias": {17: 3.0, 300: -2.0}, "presence_penalty": 0.5, "frequency_penalty": 0.3},
        {"weights": {"factual": 1.5, "cheerful": -1.0}, "beta": 3.0},
    ),
    ({"repetition_penalty": 1.2, "min_tokens": 4, "temperature": 0.9}, {"weights": {"curious": 2.0}, "top_k": 20}),
]
# objective -> V of every token of the vocabulary, given the text and its hidden states (T, D).
Values = dict[str, Callable[[list[int], Tensor, Tensor], Tensor]]


@cache
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(SHIPPED_POLICY, dtype=torch.float32)


@cache
def engine(values: str) -> Engine:
    return build_engine(None, [values], EngineConfig(device="cpu", max_num_batched_tokens=40, max_num_seqs=8))


def head(folder: Path) -> Callable[[list[int], Tensor, Tensor], Tensor]:
    network = HeadNetwork(1, **ValueConfig.load(folder).architecture)
    network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    table = network.read_tokens(unit_rms(model().get_output_embeddings().weight))
    return lambda text, hidden, candidates: network(hidden[-1:], table[candidates][None])[0, :, 0]


def heads() -> Values:
    return {folder.name: head(folder) for folder in sorted(SHIPPED_HEADS.iterdir())}


def lm() -> Values:
    config = ValueConfig.load(SHIPPED_LM)
    backbone, readout = build_lm(config.architecture, len(config.objectives))
    tensors = load_file(SHIPPED_LM / WEIGHTS_FILE)
    for name, module in (("backbone.", backbone.eval()), ("readout.", readout)):
        module.load_state_dict({key.removeprefix(name): t for key, t in tensors.items() if key.startswith(name)})

    def read(text: list[int], candidates: Tensor, column: int) -> Tensor:
        """Every candidate appended to the whole text, no cache."""
        texts = torch.cat((torch.tensor(text).expand(len(candidates), -1), candidates[:, None]), dim=1)
        found: Tensor = readout(backbone(input_ids=texts).last_hidden_state[:, -1])[:, column]
        return found

    return {
        objective.name: lambda text, hidden, candidates, column=column: read(text, candidates, column)
        for column, objective in enumerate(config.objectives)
    }


def edited(logits: Tensor, prompt: list[int], output: list[int], sampling: SamplingParams, banned: list[int]) -> Tensor:
    """ell: bias, banned tokens, penalties of vLLM's scope; (V,) float64."""
    ell = logits.double().clone()
    for token, bias in sampling.logit_bias.items():
        ell[token] += bias
    ell[banned] = -torch.inf
    for token in {*prompt, *output}:
        factor = sampling.repetition_penalty
        ell[token] *= 1 / factor if ell[token] > 0 else factor
    for token in set(output):
        ell[token] -= sampling.frequency_penalty * output.count(token) + sampling.presence_penalty
    return ell


def check_top(found: Any, expected: Tensor) -> None:
    """The alternatives of one position are the likeliest of ``expected`` (V,), log-probabilities."""
    best = expected.topk(TOP)
    assert [logprob for _, logprob in found.top] == pytest.approx(best.values.tolist(), abs=NATS)
    for token, logprob in found.top:
        assert logprob == pytest.approx(expected[token].item(), abs=NATS)
    listed = sum(math.exp(logprob) for _, logprob in found.top)
    rest = expected.exp().sum().item() - best.values.exp().sum().item()
    assert listed + rest == pytest.approx(1, abs=NATS)


def answers(values: str, settings: list[tuple[dict[str, Any], dict[str, Any]]], tokens: int) -> list[Any]:
    """(prompt, sampling, guidance, answer) of every setting, all of them in one batch."""
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED_POLICY)
    prompts = [tokenizer.encode(PROMPTS[i % len(PROMPTS)], add_special_tokens=False) for i in range(len(settings))]
    samplings = [
        SamplingParams(**{"max_tokens": tokens, "seed": i, "logprobs": TOP, "prompt_logprobs": TOP, **sampling})
        for i, (sampling, _) in enumerate(settings)
    ]
    guidances = [Guidance(report=True, **guidance) for _, guidance in settings]
    found = [choices[0] for choices in generate(engine(values), prompts, samplings, guidances)]
    return list(zip(prompts, samplings, guidances, found, strict=True))


@torch.inference_mode()
def test_plain_answers_and_prompts_are_the_models_own_log_softmax() -> None:
    """Raw, at T = 1, whatever the sampling settings."""
    for prompt, _, _, answer in answers("shipped:heads", [(settings, {}) for settings in PLAIN], 24):
        logprobs = model()(input_ids=torch.tensor([prompt + answer.token_ids])).logits[0].double().log_softmax(1)
        reported = [*answer.prompt_logprobs[1:], *answer.logprobs]
        assert len(reported) == len(prompt) + len(answer.token_ids) - 1
        for before, token, found in zip(logprobs, [*prompt[1:], *answer.token_ids], reported, strict=False):
            assert found.token_id == token
            assert found.logprob == pytest.approx(before[token].item(), abs=NATS)
            check_top(found, before)


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind_of_vocabulary(kind: str) -> None:
    """Random models, hot, so that bytes come that are no UTF-8, but not from every second request: numbers are the
    model's, tokens join to the text.
    """
    policy = text_policy(kind)
    assert policy.tokenizer is not None
    target = Engine(policy, [], EngineConfig(device="cpu"))
    prompt = policy.tokenizer.encode("the a", add_special_tokens=False)
    pieces = token_bytes_of(policy.tokenizer.backend_tokenizer)
    halves = {i: -100.0 for i in range(len(policy.tokenizer)) if not pieces(i, prompt[0]).isascii()}
    params = [
        SamplingParams(max_tokens=16, temperature=1.5, seed=seed, logprobs=3, logit_bias=halves if seed % 2 else {})
        for seed in range(20)
    ]
    joined = 0
    for [answer] in generate(target, [prompt] * len(params), params, Guidance()):
        logits = policy.model(input_ids=torch.tensor([prompt + answer.token_ids])).logits[0, len(prompt) - 1 : -1]
        expected = logits.double().log_softmax(1)
        reading = TokenText(policy.tokenizer).reading(True, prompt)
        data = b""
        for row, found in zip(expected, answer.logprobs, strict=True):
            assert found.logprob == pytest.approx(row[found.token_id].item(), abs=NATS)
            data += reading.bytes_of(found.token_id) if reading.visible(found.token_id) else b""
            reading.read(found.token_id)
        if "\ufffd" not in answer.text:
            assert data.decode() == answer.text
            assert reading.offset == len(answer.text)
            joined += 1
    assert joined > 5


def check_steered(
    values: Values, prompt: list[int], sampling: SamplingParams, guidance: Guidance, answer: CompletionOutput
) -> None:
    """log p, its alternatives, log ref, values and both KLs of every token."""
    assert answer.guidance is not None
    ids = model().generation_config.eos_token_id
    stops = ids if isinstance(ids, list) else [ids]
    text = prompt + answer.token_ids
    out = model()(input_ids=torch.tensor([text]), output_hidden_states=True)
    hidden, logits = out.hidden_states[-1][0], out.logits[0]
    for i, (found, report) in enumerate(zip(answer.logprobs, answer.reports, strict=True)):
        at = len(prompt) + i
        banned = stops if i == 0 or i < sampling.min_tokens else []
        ell = edited(logits[at - 1], prompt, answer.token_ids[:i], sampling, banned)
        reference = (ell / sampling.temperature).log_softmax(0)
        base, candidates = reference.topk(guidance.top_k)
        scores = {name: values[name](text[:at], hidden[:at], candidates).double() for name in guidance.weights}
        tilt = answer.guidance.beta * sum(weight * scores[name] for name, weight in guidance.weights.items())
        log_p = (base + tilt).log_softmax(0)
        chosen = candidates.tolist().index(text[at])
        expected = torch.full_like(reference, -torch.inf).index_put((candidates,), log_p)
        assert found.token_id == report.token_id == text[at]
        assert found.logprob == pytest.approx(log_p[chosen].item(), abs=NATS)
        assert report.logprob == pytest.approx(log_p[chosen].item(), abs=NATS)
        assert report.base_logprob == pytest.approx(base[chosen].item(), abs=NATS)
        assert report.values == pytest.approx({n: score[chosen].item() for n, score in scores.items()}, abs=NATS)
        steering = (log_p.exp() * (log_p - base.log_softmax(0))).sum().item()
        assert report.steering_nats == pytest.approx(steering, abs=NATS)
        assert report.truncation_nats == pytest.approx(-base.logsumexp(0).item(), abs=NATS)
        check_top(found, expected)
        if guidance.top_k == TOP:
            assert sum(math.exp(logprob) for _, logprob in found.top) == pytest.approx(1, abs=1e-5)


@torch.inference_mode()
def test_answers_steered_by_heads() -> None:
    values = heads()
    for prompt, sampling, guidance, answer in answers("shipped:heads", STEERED, 24):
        assert len(answer.token_ids) > 3
        check_steered(values, prompt, sampling, guidance, answer)


@torch.inference_mode()
def test_answers_steered_by_the_lm() -> None:
    values = lm()
    for prompt, sampling, guidance, answer in answers("shipped:lm", STEERED, 8):
        check_steered(values, prompt, sampling, guidance, answer)
