"""One position scores every candidate as a plain forward does; it comes back from disk; candidates are not read.

Chunks, forks, preemption and other values in the batch are the matter of the suites that every kind goes through:
``test_isolation``, ``test_given_answers``, ``test_devices``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import gelu
from transformers import AutoModel

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.quantization import Int8Linear
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from tests.models import ARCHITECTURES, VOCAB, objective, q_lm_parts, q_lm_value, tiny_config, tiny_policy
from tests.value_models.configs import value_config
from tests.value_models.kinds.test_tuned_models import change
from tests.value_models.rollouts.test_packing import CPU, trees
from value_models.folders import load_value
from value_models.kinds.lm_backbone import build_backbone, merged, small
from value_models.kinds.q_lm import QLmTrainee, QLmValue, save_q_lm
from value_models.loading import FolderLoader
from value_models.rollouts.packing import NOTHING, collate, pack
from value_models.training.teaching import with_candidates

GUIDANCE = Guidance({"c": 2.0, "d": -1.5}, beta=1.5, top_k=7, report=True)


def engine(value: Any, **config: Any) -> Engine:
    return Engine(tiny_policy("llama"), [value], EngineConfig(**({"block_size": 3} | config)))


@pytest.mark.parametrize("matrix", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_engine_equals_the_slow_loop(architecture: str, matrix: bool) -> None:
    """Sampled and greedy, with edits of the logits, the longer prompt in chunks."""
    value = q_lm_value(architecture, "c", "d", matrix=matrix)
    samplings = [
        SamplingParams(seed=3, max_tokens=7, temperature=0.7, frequency_penalty=0.5, logit_bias={11: 2.0}),
        SamplingParams(seed=4, max_tokens=5, temperature=0),
    ]
    prompts = [[3, 5, 7, 11, 13, 17, 19, 23], [37]]
    answers = generate(engine(value, max_num_seqs=4, max_num_batched_tokens=5), prompts, samplings, GUIDANCE)
    for prompt, sampling, (answer,) in zip(prompts, samplings, answers, strict=True):
        expected = reference_generate(tiny_policy("llama"), [value], prompt, sampling, GUIDANCE, 1.5)
        assert answer.token_ids == expected.tokens
        assert [r.steering_nats for r in answer.reports] == pytest.approx(expected.steering, abs=5e-4)
        assert sum(expected.steering) > 0.1


@torch.inference_mode()
@pytest.mark.parametrize("matrix", [False, True])
def test_values_are_the_product_that_the_page_states(matrix: bool) -> None:
    value = q_lm_value("llama", "c", "d", matrix=matrix)
    hidden = value.model.forward_plain(torch.tensor([3, 5, 7]))[-1]
    found = value.reference([3, 5, 7], [11, 4], hidden)
    for column in range(2):
        if matrix:
            rows = value.readout.rows[[11, 4], column]
            expected = rows[:, :-1] @ hidden + rows[:, -1]
        else:
            net, embedding = value.readout, value._embedding
            inner = gelu(hidden @ net.state_in[column] + net.state_in_bias[column, 0], approximate="tanh")
            state = inner @ net.state_out[column] + net.state_out_bias[column, 0]
            scaled = embedding[[11, 4]] / embedding.pow(2).mean().sqrt()
            tokens = gelu(scaled @ net.token_in[column] + net.token_in_bias[column, 0], approximate="tanh")
            expected = tokens @ net.token_out[column] @ state[:-1] + state[-1]
        torch.testing.assert_close(found[:, column], expected, rtol=1e-3, atol=1e-3)


def test_one_forward_of_a_position_per_row(monkeypatch: pytest.MonkeyPatch) -> None:
    value = q_lm_value("llama", "c", "d")
    target = engine(value)
    read: list[int] = []
    forward = value.model.forward

    def counted(tokens: torch.Tensor, *rest: Any) -> torch.Tensor:
        read.append(len(tokens))
        return forward(tokens, *rest)

    monkeypatch.setattr(value.model, "forward", counted)
    generate(target, [[3, 5, 7], [11]], SamplingParams(seed=1, max_tokens=4, ignore_eos=True), GUIDANCE)
    assert read == [4, 2, 2, 2, 2]


def test_in_training_candidates_are_not_read() -> None:
    value = q_lm_value("llama", "c", "d")
    trainee = QLmTrainee(value.model.base, value.readout)
    plain = pack(0, trees()[0], NOTHING, NOTHING)
    full = with_candidates(plain, torch.tensor([4, 6]), torch.tensor([[5, 6, 7], [5, 8, 9]]))
    asked = replace(collate([full], True, CPU), asked=torch.arange(len(plain.ids), len(full.ids)))
    read: list[tuple[int, ...]] = []
    hook = value.model.base.embed_tokens.register_forward_hook(lambda *args: read.append(tuple(args[1][0].shape)))
    trainee(asked)
    hook.remove()
    assert read == [(1, 7)]


def saved(folder: Path, matrix: bool, model: Any = None) -> QLmValue:
    model = model or AutoModel.from_config(tiny_config("qwen2"))
    backbone, readout = q_lm_parts(model.eval(), 2, 8, matrix)
    save_q_lm(folder, value_config(tiny_policy("llama"), "c", "d", kind="q_lm"), *merged(backbone), readout)
    return QLmValue("x", [objective("c"), objective("d")], backbone, readout)


@pytest.mark.parametrize("matrix", [False, True])
def test_it_comes_back_as_it_was(tmp_path: Path, matrix: bool) -> None:
    original = saved(tmp_path / "v", matrix)
    loaded = load_value(tmp_path / "v", tiny_policy("llama"))
    assert isinstance(loaded, QLmValue) and loaded.spec.objectives[0].kind == "q_lm"
    sampling = SamplingParams(seed=1, max_tokens=9)
    ((found,),), ((expected,),) = (generate(engine(v), [[3, 5]], sampling, GUIDANCE) for v in (loaded, original))
    assert found.token_ids == expected.token_ids
    assert found.guidance is not None and found.guidance.steering_nats > 0.1


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda a: a.pop("readout"), "has the keys backbone, readout, got backbone"),
        (lambda a: a.update(readout="low"), "readout='low': must be 'matrix' or have the keys width, rank"),
        (lambda a: a.update(readout={"width": 7}), "must be 'matrix' or have the keys width, rank"),
        (lambda a: a.update(readout="matrix"), r"unknown tensors .*readout.state_in"),
        (
            lambda a: a["backbone"].update(vocab_size=VOCAB - 2),
            f"vocab_size={VOCAB - 2}: the policy has {VOCAB} tokens",
        ),
        (lambda a: a["backbone"].pop("model_type"), "model_type"),
    ],
)
def test_a_config_that_does_not_fit_names_the_culprit(tmp_path: Path, edit: Change, message: str) -> None:
    saved(tmp_path / "v", False)
    change(tmp_path / "v", lambda data: edit(data["architecture"]))
    with pytest.raises(LoadError, match=message):
        load_value(tmp_path / "v", tiny_policy("llama"))


def test_its_model_is_loaded_in_few_bits_its_readout_is_not(tmp_path: Path) -> None:
    saved(tmp_path / "v", False, build_backbone(small(tiny_policy("llama"), 32, 1)))
    (value,) = FolderLoader(tiny_policy("llama"), "int8").load(str(tmp_path / "v"))
    assert isinstance(value, QLmValue) and value.model.quantized
    assert any(isinstance(layer, Int8Linear) for layer in value.model.base.modules())
    ((found,),) = generate(engine(value), [[3, 5]], SamplingParams(seed=1, max_tokens=3), GUIDANCE)
    assert found.guidance is not None and found.guidance.steering_nats > 0


def test_tensors_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "v", True)
    tensors = load_file(tmp_path / "v" / "model.safetensors")
    tensors["readout.rows"][3, 1, 5] = torch.nan
    save_file(tensors, tmp_path / "v" / "model.safetensors")
    with pytest.raises(LoadError, match=r"readout\.rows: has numbers that are not finite"):
        load_value(tmp_path / "v", tiny_policy("llama"))
