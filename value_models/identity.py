"""Which policy a value belongs to, told by short hashes of its tokenizer, its output embedding and its norms.

Copies of one model in other roundings (GGUF files of few bits, int8, bf16) differ in every matrix, the embedding too.
What nobody rounds are the norms: a few thousand numbers that cost nothing and matter much. Training moves them. So
equal norms mean the same model, however its matrices were rounded.
"""

from __future__ import annotations

import hashlib
import json
import weakref

import torch

from mavis_core.api.errors import LoadError
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.model.policy import Policy
from value_models.value_config import PolicyIdentity

FINGERPRINT_ROWS = 64
HASHES: weakref.WeakKeyDictionary[Tokenizer, tuple[int, str]] = weakref.WeakKeyDictionary()
FEWEST_NUMBERS = 16
"""Different numbers in norms that tell one model from another; ones and zeros do not."""


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """Hash of the vocabulary, token by token: equal hashes mean equal token ids for equal tokens.

    Kept while the tokenizer lives and has no more tokens: it takes .2 s for 49,152 of them, and every value asks.
    """
    size = tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=True)
    known, found = HASHES.get(tokenizer, (0, ""))
    if known != size:
        vocabulary = sorted(tokenizer.backend_tokenizer.get_vocab(with_added_tokens=True).items())
        found = hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()[:16]
        HASHES[tokenizer] = (size, found)
    return found


def policy_fingerprint(policy: Policy) -> str:
    """Hash of 64 rows of the output embedding, in bfloat16, so that the dtype it is served in does not matter."""
    weight = policy.readout.weight.detach()
    step = max(1, weight.shape[0] // FINGERPRINT_ROWS)
    rows = weight[::step].to(torch.bfloat16).cpu().contiguous()
    return hashlib.sha256(rows.view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def norms_hash(policy: Policy) -> str:
    """Hash of the weights of all norms, in bfloat16; "" where they are all alike, as those of untrained models are.

    The order of layers does not count, nor what transformers calls them.
    """
    norms = [module for module in policy.model.modules() if "Norm" in type(module).__name__]
    weights = [weight.detach().to(torch.bfloat16).cpu() for norm in norms for weight in norm.parameters(recurse=False)]
    if not weights or len(torch.cat([weight.flatten() for weight in weights]).unique()) < FEWEST_NUMBERS:
        return ""
    rows = sorted(weight.contiguous().view(torch.uint8).numpy().tobytes() for weight in weights)
    return hashlib.sha256(b"".join(rows)).hexdigest()[:16]


def identify(policy: Policy) -> PolicyIdentity:
    """The identity to store with a value trained for ``policy``."""
    return PolicyIdentity(
        name=policy.name.rstrip("/").rsplit("/", 1)[-1],
        hidden_size=policy.readout.weight.shape[1],
        vocab_size=policy.vocab_size,
        fingerprint=policy_fingerprint(policy),
        tokenizer_hash=tokenizer_hash(policy.tokenizer) if policy.tokenizer is not None else "",
        norms=norms_hash(policy),
    )


def check_tokenizer(model: Policy, policy: Policy) -> None:
    """Refuse a model whose token ids mean something else than the policy's.

    Raises:
        LoadError: naming the model.
    """
    ours = identify(policy).tokenizer_hash
    theirs = identify(model).tokenizer_hash
    if theirs != ours:
        raise LoadError(f"{model.name}: tokenizer_hash {theirs}: {policy.name} has {ours}")


def check_compatible(name: str, trained: PolicyIdentity, policy: Policy, reads_policy: bool) -> None:
    """Refuse a value that was trained for another policy.

    Every value needs the same token ids; one that reads the policy's hidden state also needs the same weights, if maybe
    rounded to fewer bits.

    Raises:
        LoadError: naming the value and everything that differs.
    """
    ours = identify(policy)
    differ = [
        f"{field} (value: {getattr(trained, field)}, policy: {getattr(ours, field)})"
        for field in differing(trained, ours, reads_policy)
    ]
    if differ:
        raise LoadError(
            f"{name}: trained for policy {trained.name!r}, which differs from {policy.name} in {'; '.join(differ)}"
        )


def differing(trained: PolicyIdentity, ours: PolicyIdentity, reads_policy: bool) -> list[str]:
    """The fields in which two policies differ that a value cannot serve both of; see ``check_compatible``."""
    compared = ["tokenizer_hash", "vocab_size"]
    if reads_policy:
        compared += ["hidden_size", *([] if trained.norms and trained.norms == ours.norms else ["fingerprint"])]
    return [field for field in compared if getattr(trained, field) != getattr(ours, field)]
