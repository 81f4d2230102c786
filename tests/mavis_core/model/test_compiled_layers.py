"""Layers compiled while a model runs: the same tokens as the slow loop's, and nothing lost where compiling fails."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model import compilation, compiled_layers, packed_linear, threads
from mavis_core.model.compilation import CACHE, compile_beside
from mavis_core.model.compiled_layers import CompiledLayer, alike, compile_layers, decoder_layers
from mavis_core.model.packed_linear import HalfLinear, PackedLinear
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from tests.architectures import special_model
from tests.models import head_value, tiny_model

PROMPTS = [[5, 9, 11], [7, 3], [8, 2, 4, 6, 1]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a user keeps caches."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(home))
        patch.delenv(CACHE, raising=False)
        yield home


@pytest.fixture(scope="module")
def compiled(cache: Path) -> Policy:
    """A policy whose layers have products packed in both ways, compiled on another thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_linear, "SMALLEST", 1)
        model = tiny_model("qwen2")
        for layer in model.model.layers:
            layer.mlp.to(torch.bfloat16).float()
        policy = Policy(model, None, "mine")
        policy.pack()
    assert {type(each) for each in policy.model.modules() if isinstance(each, PackedLinear)} >= {HalfLinear}
    compile_beside(policy.backbone).join()
    return policy


def test_every_layer_is_compiled_and_all_share_one_function(compiled: Policy) -> None:
    layers = decoder_layers(compiled.backbone)
    assert len(layers) > 1
    assert all(isinstance(layer.forward, CompiledLayer) for layer in layers)
    assert len({id(layer.forward._many) for layer in layers}) == 1  # type: ignore[union-attr]


def test_what_was_compiled_lies_where_nobody_else_writes(compiled: Policy, cache: Path) -> None:
    folder = cache / "mavis" / "compiled"
    assert list(folder.rglob("*.py"))
    assert folder.stat().st_mode & 0o077 == 0


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mavis").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = compilation._cache()
    assert not found.is_relative_to(tmp_path / "mavis")
    assert found.stat().st_mode & 0o077 == 0


def test_a_compiled_policy_draws_what_the_slow_loop_draws_and_compiles_nothing_anew(compiled: Policy) -> None:
    from torch._dynamo.utils import counters

    model = tiny_model("qwen2")
    for layer in model.model.layers:
        layer.mlp.to(torch.bfloat16).float()
    plain = Policy(model, None, "mine")
    graphs = counters["stats"]["unique_graphs"]
    sampling, guidance = SamplingParams(max_tokens=12, seed=5), Guidance({"a": 1.0}, beta=0.8)
    values = [head_value(compiled, "a")]
    for rows, budget in ((1, 2), (3, 64)):  # prompts in parts of two tokens beside others, and at once
        engine = Engine(compiled, values, EngineConfig(max_num_seqs=rows, max_num_batched_tokens=max(rows, budget)))
        found = generate(engine, PROMPTS, sampling, guidance)
        for prompt, (choice,) in zip(PROMPTS, found, strict=True):
            assert choice.token_ids == reference_generate(plain, values, prompt, sampling, guidance, 0.8).tokens
    assert counters["stats"]["unique_graphs"] == graphs


def test_without_our_cache_the_plain_layer_answers(compiled: Policy) -> None:
    hidden = compiled.backbone.forward_plain(torch.tensor([3, 5, 7]))
    plain = Policy(tiny_model("qwen2"), None, "plain").backbone.forward_plain(torch.tensor([3, 5, 7]))
    torch.testing.assert_close(hidden, plain, rtol=0.05, atol=0.05)


def test_a_copy_is_plain_and_has_weights_of_its_own(compiled: Policy) -> None:
    again = copy.deepcopy(compiled.model)
    layer = again.model.layers[0]
    assert not isinstance(layer.forward, CompiledLayer)
    assert type(layer.self_attn.q_proj) is nn.Linear
    before = compiled.backbone.forward_plain(torch.tensor([3, 5, 7]))
    with torch.no_grad():
        layer.mlp.down_proj.weight.zero_()
    assert torch.equal(compiled.backbone.forward_plain(torch.tensor([3, 5, 7])), before)
    assert not torch.equal(again.model(input_ids=torch.tensor([[3, 5, 7]])).last_hidden_state[0], before)


def test_layers_that_attend_otherwise_share_nothing() -> None:
    layers = special_model("gemma3").model.layers
    by_window: dict[int | None, set[Any]] = {}
    for layer in layers:
        by_window.setdefault(layer.self_attn.sliding_window, set()).add(alike(layer))
    (narrow,), (wide,) = by_window.values()
    assert narrow != wide


def test_large_models_in_16_bits_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_linear, "SMALLEST", 1)
    monkeypatch.setattr(threads, "SMALL", 1)
    exact, half, narrow = (Policy(tiny_model("llama"), None, name) for name in ("exact", "half", "narrow"))
    half.pack(rounded=True)
    narrow.model.bfloat16()
    assert [compilation.worthwhile(policy.backbone) for policy in (exact, half, narrow)] == [False, True, True]
    monkeypatch.setattr(threads, "SMALL", 1 << 40)
    assert not compilation.worthwhile(half.backbone)


def fails(*asked: Any, **also: Any) -> Callable[..., Any]:
    raise RuntimeError("\nno compiler\nhere")


def differs(*asked: Any, **also: Any) -> Callable[..., Any]:
    return lambda hidden, place, weights, asked: hidden + 1.0


@pytest.mark.parametrize(("broken", "says"), [(fails, "no compiler"), (differs, "differs from the plain one by")])
def test_what_cannot_be_compiled_runs_on(
    broken: Any, says: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiled_layers, "_compiled", broken)
    policy = Policy(tiny_model("llama"), None, "mine")
    with pytest.raises(LoadError, match=says):
        compile_layers(policy.backbone)
    with caplog.at_level(logging.WARNING):
        compile_beside(policy.backbone).join()
    assert says in caplog.text
    assert "it is served as it is" in caplog.text
    assert not any(isinstance(layer.forward, CompiledLayer) for layer in decoder_layers(policy.backbone))


def test_rows_of_two_threads_do_not_meet(compiled: Policy) -> None:
    """Each thread's layers attend to its own cache."""
    sampling = SamplingParams(max_tokens=10, seed=3)
    alone = [generate(Engine(compiled, [], EngineConfig()), [prompt], sampling)[0][0].token_ids for prompt in PROMPTS]
    found: dict[int, list[int]] = {}

    def run(at: int) -> None:
        found[at] = generate(Engine(compiled, [], EngineConfig()), [PROMPTS[at]], sampling)[0][0].token_ids

    runners = [threading.Thread(target=run, args=(at,)) for at in range(3)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert [found[at] for at in range(3)] == alone
