from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from mavis_core.api.errors import LoadError
from mavis_core.model.policy import Policy
from tests.models import HIDDEN, VOCAB, byte_tokenizer, tiny_model, tiny_policy
from value_models.identity import check_compatible, identify, policy_fingerprint, tokenizer_hash
from value_models.kinds.registry import KINDS


def test_the_same_policy_is_itself_in_another_dtype() -> None:
    other = Policy(tiny_model("llama").to(torch.bfloat16), None, "/somewhere/else/")
    assert policy_fingerprint(other) == policy_fingerprint(tiny_policy("llama"))
    assert identify(other).name == "else"
    assert (identify(other).vocab_size, identify(other).hidden_size) == (VOCAB, HIDDEN)


def test_other_weights_have_another_fingerprint() -> None:
    other = Policy(tiny_model("llama", seed=9), None, "x")
    assert policy_fingerprint(other) != policy_fingerprint(tiny_policy("llama"))


def test_a_tokenizer_is_its_vocabulary() -> None:
    one, other = byte_tokenizer(), byte_tokenizer()
    assert tokenizer_hash(one) == tokenizer_hash(other)
    other.add_tokens(["<new>"])
    assert tokenizer_hash(one) != tokenizer_hash(other)


@pytest.mark.parametrize(
    ("kind", "field", "value", "refused"),
    [
        ("head", "tokenizer_hash", "abc", True),
        ("head", "vocab_size", 67, True),
        ("head", "hidden_size", 29, True),
        ("head", "fingerprint", "abc", True),
        ("head", "name", "renamed", False),
        ("lm", "tokenizer_hash", "abc", True),
        ("lm", "vocab_size", 67, True),
        ("lm", "hidden_size", 29, False),
        ("lm", "fingerprint", "abc", False),
    ],
)
def test_only_what_matters_to_the_kind_is_compared(kind: str, field: str, value: Any, refused: bool) -> None:
    policy = tiny_policy("llama")
    trained = dataclasses.replace(identify(policy), **{field: value})
    if not refused:
        check_compatible("v", trained, policy, KINDS[kind].reads_policy)
        return
    with pytest.raises(LoadError, match=rf"v: trained for policy 'tiny-llama', which differs .* in {field} \(value:"):
        check_compatible("v", trained, policy, KINDS[kind].reads_policy)


def test_everything_that_differs_is_named() -> None:
    policy = tiny_policy("llama")
    trained = dataclasses.replace(identify(policy), vocab_size=67, fingerprint="abc")
    with pytest.raises(LoadError, match=r"vocab_size \(value: 67, policy: 61\); fingerprint \(value: abc"):
        check_compatible("v", trained, policy, reads_policy=True)
