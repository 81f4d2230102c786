"""Kind ``implicit``: how much more likely a tuned causal LM makes a token than an untuned one does.

    V_m(s + a) = (log pi_m(a | s) - log pi_0(a | s) - mean_m) / std_m        nats, z-scored over the policy's tokens

pi_m is the model tuned for objective m, pi_0 the untuned one (IVG, arXiv 2409.17819). Both share the policy's
vocabulary and may be much smaller than it; pi_0 may also be the policy itself. Without any pi_0, V is log pi_m alone:
pi_m then is an autoregressive reward model (GenARM, arXiv 2410.08193), whose log-probabilities are the rewards.

A value belongs to the text, not to how the text is sampled. So both log-probabilities are at temperature 1, of logits
that nothing has edited. Where pi_0 is the policy, its logits are one product of the policy's hidden state with its
output layer, no further forward; the logits of the step itself cannot be used, since bias, penalties and temperature
have changed them.

Every model has a KV cache of its own. When candidates are scored, each model first reads the newest token of the row.
For a row whose prompt was read in this very step the token is in the cache already; it is then read a second time and
gives the same numbers, so the code needs no second case.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mavis_core.api.errors import LoadError
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.attention import RowsStep
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.policy import Policy
from mavis_core.sample.scoring import ScoringInput
from mavis_core.values.protocol import ValueSpec
from value_models.identity import check_compatible
from value_models.kinds.kind import Kind
from value_models.kinds.tuned_models import THE_POLICY, architecture, folders_beside, read_models, write_models
from value_models.value_config import ValueConfig


class ImplicitValue:
    """Log-ratios of M tuned models to one untuned, or their log-probabilities.

    Args:
        name: for messages.
        objectives: M.
        tuned: pi_m, one per objective.
        untuned: pi_0, which may be ``policy``; None where there is none.
        policy: what is steered.

    Raises:
        LoadError: a model's vocabulary is smaller than the policy's.
    """

    def __init__(
        self,
        name: str,
        objectives: Sequence[ObjectiveInfo],
        tuned: Sequence[Policy],
        untuned: Policy | None,
        policy: Policy,
    ) -> None:
        assert len(tuned) == len(objectives)
        self._to_policy, self._alone = untuned is policy, untuned is None
        self._models = [*tuned] if untuned is None or untuned is policy else [*tuned, untuned]
        for model in self._models:
            if model.vocab_size < policy.vocab_size:
                raise LoadError(
                    f"{model.name}: vocab_size={model.vocab_size}: the policy has {policy.vocab_size} tokens"
                )
        self._policy = policy
        self._scale = torch.tensor([(o.reward_mean, o.reward_std) for o in objectives])
        caches = tuple(model.backbone.cache for model in self._models)
        longest = min(model.max_model_len for model in self._models)
        self.spec = ValueSpec(name, tuple(objectives), caches, longest)

    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        for model in self._models:
            model.model.to(device=device, dtype=dtype)
        self._pools = list(pools)
        self._scale = self._scale.to(device)

    def extend(self, tokens: Tensor, positions: Tensor, attention: RowsStep) -> None:
        for model, pool in zip(self._models, self._pools, strict=True):
            model.backbone.forward(tokens, positions, attention.over(pool))

    def score(self, inputs: ScoringInput) -> Tensor:
        attention, found = inputs.newest_attention(self._pools[0]), []
        for model, pool in zip(self._models, self._pools, strict=True):
            hidden = model.backbone.forward(inputs.last_token, inputs.length - 1, attention.over(pool))
            found.append(_logprobs(model, hidden).gather(1, inputs.candidates))
        if self._to_policy:
            found.append(_logprobs(self._policy, inputs.hidden).gather(1, inputs.candidates))
        return self._values(torch.stack(found, dim=2))

    def commit(self, inputs: ScoringInput, chosen: Tensor) -> None:
        """Nothing to keep: the drawn token is fed in the next step."""

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        text = torch.tensor(tokens, device=hidden.device)
        states = [model.backbone.forward_plain(text)[-1:] for model in self._models]
        found = [_logprobs(model, state)[0] for model, state in zip(self._models, states, strict=True)]
        if self._to_policy:
            found.append(_logprobs(self._policy, hidden[None])[0])
        return self._values(torch.stack(found, dim=1)[list(candidates)])

    def _values(self, logprobs: Tensor) -> Tensor:
        """log pi of the M tuned models and, last, of the untuned one if there is one: (..., M + 1) -> V (..., M)."""
        mean, std = self._scale.T
        nats = logprobs if self._alone else logprobs[..., :-1] - logprobs[..., -1:]
        return (nats - mean) / std


def _logprobs(model: Policy, hidden: Tensor) -> Tensor:
    """log pi at T = 1: hidden (N, D) -> (N, V) float32."""
    return model.logits(hidden).log_softmax(dim=1)


def load_implicit(
    folder: Path, config: ValueConfig, objectives: Sequence[ObjectiveInfo], policy: Policy
) -> ImplicitValue:
    tuned, untuned = architecture(folder, config, "tuned", "untuned")
    if untuned == THE_POLICY:
        check_compatible(str(folder), config.policy, policy, reads_policy=True)
    return ImplicitValue(folder.name, objectives, *read_models(folder, tuned, untuned, policy), policy)


def save_implicit(folder: Path, config: ValueConfig, tuned: list[nn.Module], untuned: nn.Module | str) -> None:
    """Write a value's models; the config's architecture is made here.

    Args:
        untuned: a model, or ``THE_POLICY``, or ``NO_MODEL``.
    """
    write_models(folder, config, tuned, untuned)


IMPLICIT = Kind(name="implicit", value=ImplicitValue, load=load_implicit, additive=True, beside=folders_beside)
