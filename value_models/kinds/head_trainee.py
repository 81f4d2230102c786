"""A ``head`` in training: the frozen policy reads packed trees, and a small network learns on its hidden states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mavis_core.model.policy import Policy
from value_models.kinds.head_network import unit_rms
from value_models.rollouts.packing import Batch
from value_models.rollouts.reading import states_before

STATES_KEPT = 4 << 30
"""What is beyond is computed again."""


class HeadTrainee(nn.Module):
    """Predictions of a head at the asked tokens of a batch: V(s + a) from the state at s and the token a.

    Args:
        policy: frozen; not part of the module's parameters.
        network: what is trained; has ``read_tokens`` and ``forward`` as a ``HeadNetwork``.
        keep: bytes of hidden states that are kept on the host from epoch to epoch.
    """

    def __init__(self, policy: Policy, network: nn.Module, keep: int = STATES_KEPT) -> None:
        super().__init__()
        self.network = network
        self._policy = (policy,)  # in a tuple, so that it is no sub-module
        self.register_buffer("embedding", unit_rms(policy.readout.weight), persistent=False)
        self._states: dict[tuple[int, bool], Tensor] = {}
        self._room = keep

    def forward(self, batch: Batch) -> Tensor:
        """(A, M) float32."""
        tokens, inverse = batch.ids.flatten()[batch.asked].unique(return_inverse=True)
        table = self.network.read_tokens(self.embedding[tokens])[inverse]
        return self.predict(self._states_before(batch), table[:, None], batch)[:, 0]

    def predict(self, states: Tensor, table: Tensor, batch: Batch) -> Tensor:
        """states (A, D), the asked tokens' rows of A (A, 1, M, r + 1) -> V (A, 1, M)."""
        found: Tensor = self.network(states, table)
        return found

    def _states_before(self, batch: Batch) -> Tensor:
        """The policy's last hidden state before each asked token: (A, D) float32.

        Every tree is read alone, so that its states do not depend, to the last bit, on whom it first shared a batch
        with; a resumed run then goes on exactly as it would have.
        """
        found = []
        for tree in batch.trees:
            key = (tree.key, batch.every_token)
            states = self._states.get(key)
            if states is None:
                states = states_before(self._policy[0], tree, batch.every_token)
                if tree.states is None and states.nbytes <= self._room:
                    self._states[key] = states.cpu()
                    self._room -= states.nbytes
            found.append(states.to(batch.ids.device))
        return torch.cat(found)
