"""The heads that ship for SmolLM2-135M-Instruct, without the model: nothing here needs its weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mavis_core.api.errors import LoadError
from server.objectives.declared import Declared
from tests.models import tiny_policy
from value_models import identity, offered
from value_models.folders import load_value
from value_models.kinds.head import HeadValue
from value_models.kinds.registry import stacked
from value_models.loading import NAMED, value_folders
from value_models.value_config import WEIGHTS_FILE, PolicyIdentity, ValueConfig

NAME = "shipped:smollm2"
CONFIGS = {folder.name: ValueConfig.load(folder) for folder in value_folders(NAME)}
LARGEST = 2_000_000


def a_policy(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Any:
    """Has the identity that the heads were made for, or another rounding's, and next to no weights."""
    of: PolicyIdentity = CONFIGS["cheerful"].policy
    known: dict[str, Any] = {
        "hidden_size": of.hidden_size,
        "vocab_size": of.vocab_size,
        "tokenizer_hash": of.tokenizer_hash,
    }
    known |= {"fingerprint": "of other bits", "norms": of.norms, "name": "mine", **changes}
    for module in (identity, offered):
        monkeypatch.setattr(module, "identify", lambda policy: PolicyIdentity(**known))
    readout = SimpleNamespace(weight=torch.ones(3, of.hidden_size))
    return SimpleNamespace(name="mine", vocab_size=known["vocab_size"], readout=readout)


def test_there_is_a_small_file_for_each_of_at_least_six_objectives() -> None:
    assert {"cheerful", "concise", "curious"} <= CONFIGS.keys() and len(CONFIGS) >= 6
    assert len({config.policy for config in CONFIGS.values()}) == 1 and CONFIGS["cheerful"].policy.norms
    for folder in value_folders(NAME):
        assert (folder / WEIGHTS_FILE).stat().st_size <= LARGEST
        assert all(tensor.isfinite().all() for tensor in load_file(folder / WEIGHTS_FILE).values())
    assert (NAMED[NAME] / "README.md").is_file()


def test_each_means_what_the_objective_in_words_of_its_name_says() -> None:
    words = Declared.read(["shipped"], shipped_model=False).shipped
    for name, config in CONFIGS.items():
        (objective,) = config.objectives
        assert (objective.name, objective.description) == (name, words[name].instruction)
        assert list(objective.weight_range) == words[name].weight_range
        assert objective.recommended_beta == 1, "as of words, which they are mixed with"


def test_they_are_offered_to_any_rounding_of_their_model(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = a_policy(monkeypatch)
    found = offered.offered(policy)
    assert [folder.name for folder in found] == sorted(CONFIGS)
    (heads,) = stacked([load_value(folder, policy) for folder in found])
    assert isinstance(heads, HeadValue), "which cost as many kernels as one"
    assert [objective.name for objective in heads.spec.objectives] == sorted(CONFIGS)


@pytest.mark.parametrize(
    "changed", [{"norms": "of a fine-tune"}, {"norms": ""}, {"tokenizer_hash": "x"}, {"vocab_size": 9}]
)
def test_another_model_is_offered_nothing(monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]) -> None:
    assert offered.offered(a_policy(monkeypatch, **changed)) == []


def test_by_name_another_model_is_refused_and_told_why() -> None:
    (folder,) = value_folders(f"{NAME}#concise")
    with pytest.raises(
        LoadError, match=r"trained for policy 'SmolLM2-135M-Instruct', which differs from tiny-llama in"
    ):
        load_value(folder, tiny_policy("llama"))
