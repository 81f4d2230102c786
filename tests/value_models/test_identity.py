from __future__ import annotations

import copy
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


def trained_policy() -> Policy:
    """Whose norms are not all ones, as those of random models are."""
    model = copy.deepcopy(tiny_model("llama"))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(torch.rand(weight.shape, generator=generator) + 0.5)
    return Policy(model, None, "trained")


def test_another_rounding_of_the_matrices_is_the_same_policy() -> None:
    known, rounded = trained_policy(), trained_policy()
    with torch.no_grad():
        for weight in rounded.model.parameters():
            if weight.dim() == 2:
                scale = weight.abs().amax(dim=1, keepdim=True) / 7
                weight.copy_((weight / scale).round() * scale)  # four bits
    own, other = identify(known), identify(rounded)
    assert own.norms and own.norms == other.norms and own.fingerprint != other.fingerprint
    check_compatible("v", own, rounded, reads_policy=True)
    assert own.exact != other.exact, "rollouts of one are not continued with the other"
    for dtype in (torch.bfloat16, torch.float16):
        kept = trained_policy()
        with torch.no_grad():  # as a checkpoint in bfloat16 has them
            for weight in kept.model.parameters():
                weight.copy_(weight.to(torch.bfloat16))
        kept.model.to(dtype)
        assert identify(kept).norms == own.norms


def test_one_trained_number_of_a_norm_makes_another_policy() -> None:
    known, tuned = trained_policy(), trained_policy()
    with torch.no_grad():
        tuned.readout.weight.mul_(1.01)
        tuned.model.model.norm.weight[3] *= 1.01
    with pytest.raises(LoadError, match=r"differs from trained in fingerprint \(value: "):
        check_compatible("v", identify(known), tuned, reads_policy=True)


def test_norms_that_tell_nothing_are_not_compared() -> None:
    one, other = tiny_policy("llama"), Policy(tiny_model("llama", seed=9), None, "x")
    assert identify(one).norms == identify(other).norms == ""
    with pytest.raises(LoadError, match="fingerprint"):
        check_compatible("v", identify(one), other, reads_policy=True)


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
