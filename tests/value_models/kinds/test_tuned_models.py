from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.values.protocol import ValueFunction
from tests.models import VOCAB, byte_tokenizer, run, tiny_model, tiny_policy
from tests.value_models.configs import value_config
from value_models.folders import load_value
from value_models.kinds.implicit import ImplicitValue, save_implicit
from value_models.kinds.policy import save_policies
from value_models.kinds.tuned_models import NO_MODEL, THE_POLICY
from value_models.loading import FolderLoader
from value_models.value_config import ValueConfig


def config_of(policy: Policy, *names: str, kind: str = "implicit") -> ValueConfig:
    made = value_config(policy, *names, kind=kind)
    if kind == "implicit":
        return made
    return replace(made, objectives=tuple(replace(o, reward_mean=0.0, reward_std=1.0) for o in made.objectives))


def policy() -> Policy:
    return tiny_policy("llama")


@pytest.fixture
def paired(tmp_path: Path) -> Path:
    """Tied embeddings on one side, none on the other."""
    tuned = [tiny_model("llama", 31), tiny_model("gpt2", 32)]
    save_implicit(tmp_path / "pair", config_of(policy(), "e", "f"), tuned, tiny_model("gemma", 33))
    return tmp_path / "pair"


def answer(value: ValueFunction, *names: str) -> list[int]:
    guidance = Guidance(dict(zip(names, (2.0, -2.0), strict=False)), beta=1.0, top_k=7)
    sampling = SamplingParams(seed=1, max_tokens=11)
    ((found,),) = generate(Engine(policy(), [value], EngineConfig(block_size=5)), [[3, 5, 7]], sampling, guidance)
    return found.token_ids


def model(architecture: str, seed: int) -> Policy:
    return Policy(tiny_model(architecture, seed), None, architecture)


def test_a_pair_comes_back_as_it_was(paired: Path) -> None:
    loaded = load_value(paired, policy())
    assert isinstance(loaded, ImplicitValue)
    original = ImplicitValue(
        "x", loaded.spec.objectives, [model("llama", 31), model("gpt2", 32)], model("gemma", 33), policy()
    )
    assert answer(loaded, "e", "f") == answer(original, "e", "f")
    assert (loaded.spec.objectives[0].kind, loaded.spec.objectives[0].reward_std) == ("implicit", 1.5)


def test_an_untuned_model_that_is_the_policy_is_not_stored_again(tmp_path: Path) -> None:
    save_implicit(tmp_path / "v", config_of(policy(), "e"), [tiny_model("llama", 31)], THE_POLICY)
    assert {name.split(".")[0] for name in load_file(tmp_path / "v" / "model.safetensors")} == {"tuned"}
    loaded = load_value(tmp_path / "v", policy())
    assert len(loaded.spec.caches) == 1
    original = ImplicitValue("x", loaded.spec.objectives, [model("llama", 31)], policy(), policy())
    assert answer(loaded, "e") == answer(original, "e")


def test_an_autoregressive_reward_model_stands_alone(tmp_path: Path) -> None:
    """No untuned model is stored, run or compared with; so any policy of the vocabulary is steered by it."""
    save_implicit(tmp_path / "v", config_of(policy(), "e"), [tiny_model("llama", 31)], NO_MODEL)
    assert {name.split(".")[0] for name in load_file(tmp_path / "v" / "model.safetensors")} == {"tuned"}
    retrained = Policy(tiny_model("llama", seed=9), None, "retrained")
    loaded = load_value(tmp_path / "v", retrained)
    assert len(loaded.spec.caches) == 1
    with torch.inference_mode():
        reward_model = model("llama", 31)
        state = reward_model.backbone.forward_plain(torch.tensor([3, 5]))[-1:]
        found = loaded.reference([3, 5], [7, 11], torch.zeros(1))
        logprobs = reward_model.logits(state).log_softmax(1)[0, [7, 11]]
    torch.testing.assert_close(found[:, 0], (logprobs - 0.25) / 1.5)


def test_a_pair_joins_a_running_engine_and_shares_prefixes(paired: Path) -> None:
    """As it answers when loaded at the start; the second time with the prompt's full blocks from the cache."""
    steered = policy()
    engine = Engine(steered, [], EngineConfig(block_size=5), FolderLoader(steered))
    prompt, sampling = [3, 5, 7, 9, 11, 13, 15], SamplingParams(seed=1, max_tokens=11)
    generate(engine, [prompt], sampling)
    engine.load_values(FolderLoader(steered).load(str(paired)))
    wanted = Request("r", tuple(prompt), sampling, Guidance({"e": 2.0, "f": -2.0}, beta=1.0, top_k=7))
    fresh = Engine(policy(), [load_value(paired, policy())], EngineConfig(block_size=5, enable_prefix_caching=False))
    fresh.add(wanted)
    expected = run(fresh)
    for cached in (0, 5):
        engine.add(wanted)
        (first,) = engine.step()
        assert first.cached_tokens == cached
        found = [*first.deltas[0].token_ids, *run(engine)["r"][0]]
        assert found == expected["r"][0]


def test_an_untuned_model_that_is_another_policy_is_refused(tmp_path: Path) -> None:
    """Of kind "policy" the same is fine: a mix of policies is over whatever policy is served."""
    retrained = Policy(tiny_model("llama", seed=9), None, "retrained")
    save_implicit(tmp_path / "v", config_of(policy(), "e"), [tiny_model("llama", 31)], THE_POLICY)
    with pytest.raises(LoadError, match="differs from retrained in fingerprint"):
        load_value(tmp_path / "v", retrained)
    save_policies(tmp_path / "p", config_of(policy(), "e", kind="policy"), [tiny_model("llama", 31)])
    assert load_value(tmp_path / "p", retrained).spec.objectives[0].kind == "policy"


def save_model(folder: Path, seed: int, vocab: int, tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(seed)
    made = tiny_model("llama", seed)
    made.resize_token_embeddings(vocab)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture
def beside(tmp_path: Path) -> tuple[Path, Policy]:
    """A value without weights of its own: both models are folders beside it."""
    tokenizer = byte_tokenizer()
    vocab = len(tokenizer)
    for name, seed in (("base", 1), ("tuned", 2), ("untuned", 3)):
        save_model(tmp_path / name, seed, vocab, tokenizer)
    served = Policy.load(str(tmp_path / "base"), torch.device("cpu"), torch.float32)
    architecture = {"tuned": [{"path": "../tuned"}], "untuned": {"path": "../untuned"}}
    replace(config_of(served, "e"), architecture=architecture).save(tmp_path / "value")
    return tmp_path / "value", served


def test_models_may_stand_beside_the_value(beside: tuple[Path, Policy]) -> None:
    folder, served = beside
    loaded = load_value(folder, served)
    assert len(loaded.spec.caches) == 2
    with torch.inference_mode():
        hidden = served.backbone.forward_plain(torch.tensor([3, 5]))[-1]
        found = loaded.reference([3, 5], [7, 11], hidden)
        each = [
            Policy.load(str(folder.parent / name), torch.device("cpu"), torch.float32) for name in ("tuned", "untuned")
        ]
        tuned, untuned = (
            m.logits(m.backbone.forward_plain(torch.tensor([3, 5]))[-1:]).log_softmax(1)[0, [7, 11]] for m in each
        )
    torch.testing.assert_close(found[:, 0], (tuned - untuned - 0.25) / 1.5)


Change = Callable[[dict[str, Any]], None]


def change(folder: Path, edit: Change) -> None:
    data = json.loads((folder / "config.json").read_text())
    edit(data)
    (folder / "config.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../nowhere", "nowhere"),
        ("../../elsewhere", r"path '../../elsewhere': must be relative and inside"),
        ("/etc", "path '/etc': must be relative and inside"),
        (7, "a path stands alone and is text"),
    ],
)
def test_paths_lead_to_a_model_beside_or_nowhere(beside: tuple[Path, Policy], path: Any, message: str) -> None:
    folder, served = beside
    change(folder, lambda data: data["architecture"].update(untuned={"path": path}))
    with pytest.raises(LoadError, match=message):
        load_value(folder, served)


def test_a_model_of_another_tokenizer_or_with_broken_numbers_is_refused(beside: tuple[Path, Policy]) -> None:
    folder, served = beside
    other = byte_tokenizer()
    other.add_tokens(["<new>"])
    save_model(folder.parent / "other", 4, len(other), other)
    change(folder, lambda data: data["architecture"].update(untuned={"path": "../other"}))
    with pytest.raises(LoadError, match=r"value: \.\./other: tokenizer_hash"):
        load_value(folder, served)
    change(folder, lambda data: data["architecture"].update(untuned={"path": "../untuned"}))
    weights = folder.parent / "untuned" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = torch.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(LoadError, match=r"not supported|not finite"):
        load_value(folder, served)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda a: a.pop("untuned"), "kind 'implicit' has the keys tuned, untuned, got tuned"),
        (lambda a: a.update(extra=1), "has the keys tuned, untuned, got extra, tuned, untuned"),
        (lambda a: a["tuned"].pop(), "one model per objective, 2"),
        (lambda a: a.update(tuned={}), "one model per objective, 2"),
        (lambda a: a.update(untuned="mine"), "untuned: must be a model's config"),
        (lambda a: a["tuned"].__setitem__(1, "policy"), r"tuned\[1\]: must be a model's config"),
        (lambda a: a["tuned"][0].pop("model_type"), "model_type"),
        (lambda a: a["tuned"][0].update(num_hidden_layers=3), "layers.2"),
        (lambda a: a["tuned"][0].update(vocab_size=VOCAB + 2), "size mismatch"),
        (lambda a: a.update(untuned="policy"), "unknown tensors untuned"),
    ],
)
def test_a_config_that_does_not_fit_names_the_culprit(paired: Path, edit: Change, message: str) -> None:
    change(paired, lambda data: edit(data["architecture"]))
    with pytest.raises(LoadError, match=message) as caught:
        load_value(paired, policy())
    assert str(paired) in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda tensors: tensors.pop("tuned.1.transformer.ln_f.bias"), r"missing tensors tuned\.1\.transformer"),
        (
            lambda tensors: tensors["untuned.model.norm.weight"].fill_(torch.inf),
            "untuned.model.norm.weight: has numbers",
        ),
        (lambda tensors: tensors.update({"tuned.2.x": torch.zeros(1)}), r"unknown tensors tuned\.2\.x"),
    ],
)
def test_damaged_weights_name_the_tensor(paired: Path, damage: Change, message: str) -> None:
    tensors = load_file(paired / "model.safetensors")
    damage(tensors)
    save_file(tensors, paired / "model.safetensors")
    with pytest.raises(LoadError, match=message):
        load_value(paired, policy())
