"""Kind ``conditioned_head``: a ``head`` whose input is the row's weights too, and which also predicts the KL to come.

    V_m(s + a; w) = u_m(h, w) . A_m[a] + c_m(h, w)       value of objective m, z-units
    W(s + a; w)                                          the same form, one more output, nats
    [u_m, c_m] = two-layer network of h whose hidden units are scaled and shifted by f(w) (FiLM, arXiv 1709.07871)
    f(w) = gelu(P w + p) - gelu(p)

s is the text so far, a a candidate for the next token, h the policy's hidden state at s, and w is beta times the row's
weights. A plain ``head`` predicts the reward of a text that the base model would finish. But the text will be finished
under the same weights, and what it becomes depends on them; so V takes them as an input. W is the KL that the tilted
policy will still spend after a, which the tilt subtracts: a token that leads into expensive text is worth less.

The network is given f(w), not w, because V levels off as w grows and W begins as its square; with units scaled by w
itself the error is four times as large (docs/theory.md). w enters this network and never the policy, so rows of any
weights share their KV. A is a table over the vocabulary that does not depend on w; it is computed once, at load.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.model.attention import RowsStep
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.policy import Policy
from mavis_core.sample.scoring import ScoringInput
from mavis_core.values.protocol import ValueSpec
from value_models.kinds.head import HeadSizes, load_with, save_trained
from value_models.kinds.head_network import HeadNetwork, gelu, product, unit_rms
from value_models.kinds.head_trainee import HeadTrainee
from value_models.kinds.kind import Kind, Learning
from value_models.rollouts.packing import Batch

PULL_WIDTH = 32
"""Hidden units of the network of w."""


class ConditionedHeadNetwork(nn.Module):
    """Parameters of M objectives and W.

    Args:
        objectives: M.
        hidden_size, width, rank: as of ``HeadNetwork``.
    """

    def __init__(self, objectives: int, hidden_size: int, width: int, rank: int) -> None:
        super().__init__()
        self.head = HeadNetwork(objectives + 1, hidden_size, width, rank)
        self.pull_in = nn.Parameter(torch.randn(objectives, PULL_WIDTH))
        self.pull_in_bias = nn.Parameter(torch.rand(PULL_WIDTH) * 2 - 1)
        self.scale = nn.Parameter(torch.zeros(objectives + 1, PULL_WIDTH, width))
        self.shift = nn.Parameter(torch.zeros(objectives + 1, PULL_WIDTH, width))
        self.register_buffer("largest", torch.ones(objectives))

    @property
    def sizes(self) -> dict[str, int]:
        """What it was made with, but for the objectives: ``architecture`` in a value's config."""
        return self.head.sizes

    def read_tokens(self, embedding: Tensor) -> Tensor:
        """Rows of E, scaled to unit RMS: (N, D) -> A (N, M + 1, r + 1)."""
        return self.head.read_tokens(embedding)

    def forward(self, hidden: Tensor, tilt_weights: Tensor, table: Tensor) -> Tensor:
        """V and W, (G, K, M + 1).

        Args:
            hidden: (G, D).
            tilt_weights: (G, M).
            table: (G, K, M + 1, r + 1), the candidates' rows of A.
        """
        head, outputs = self.head, len(self.scale)
        wanted = self._wanted(tilt_weights / self.largest).expand(outputs, -1, -1)
        inner = torch.baddbmm(head.state_in_bias, hidden.expand(outputs, -1, -1), head.state_in)
        inner = gelu(inner * (1 + torch.bmm(wanted, self.scale)) + torch.bmm(wanted, self.shift))
        return product(torch.baddbmm(head.state_out_bias, inner, head.state_out), table)

    def _wanted(self, tilt_weights: Tensor) -> Tensor:
        """f(w), 0 where w is: (G, M) -> (G, PULL_WIDTH)."""
        bias = self.pull_in_bias
        return gelu(torch.addmm(bias, tilt_weights, self.pull_in)) - gelu(bias)


class ConditionedHeadValue:
    """A loaded conditioned head.

    Args:
        name: for messages.
        objectives: M, with their ``pull_range``.
        network: of as many objectives.
        embedding: (V, D) the policy's output embedding.
        tilt_weights: (M,) of ``reference``, 0 by default; ``score`` reads each row's own.
    """

    def __init__(
        self,
        name: str,
        objectives: Sequence[ObjectiveInfo],
        network: ConditionedHeadNetwork,
        embedding: Tensor,
        tilt_weights: Sequence[float] | None = None,
    ) -> None:
        self.spec = ValueSpec(name, tuple(objectives), (), None, conditioned=True)
        self.network = network.eval().requires_grad_(False)
        self._embedding = embedding
        self._tilt_weights = [0.0] * len(objectives) if tilt_weights is None else list(tilt_weights)

    @torch.inference_mode()
    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        """Everything in float32, as a ``head``."""
        network = self.network.to(device=device, dtype=torch.float32)
        self._table = network.read_tokens(unit_rms(self._embedding.to(device)))

    def extend(self, tokens: Tensor, positions: Tensor, attention: RowsStep) -> None:
        """Nothing to read: the policy's hidden state holds the text."""

    def score(self, inputs: ScoringInput) -> Tensor:
        assert inputs.tilt_weights is not None
        found: Tensor = self.network(inputs.hidden.float(), inputs.tilt_weights, self._table[inputs.candidates])
        return found

    def commit(self, inputs: ScoringInput, chosen: Tensor) -> None:
        """Nothing to keep."""

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        embedding = unit_rms(self._embedding.to(hidden.device))[list(candidates)]
        table = self.network.read_tokens(embedding)
        tilt_weights = torch.tensor([self._tilt_weights], device=hidden.device)
        found: Tensor = self.network(hidden.float()[None], tilt_weights, table[None])[0]
        return found

    def at(self, tilt_weights: Sequence[float]) -> ConditionedHeadValue:
        return ConditionedHeadValue(self.spec.name, self.spec.objectives, self.network, self._embedding, tilt_weights)


class ConditionedHeadTrainee(HeadTrainee):
    """Predictions (A, M + 1), each for the weights of its tree."""

    def predict(self, states: Tensor, table: Tensor, batch: Batch) -> Tensor:
        found: Tensor = self.network(states, batch.tilt_weights(), table)
        return found


def fresh_conditioned(
    policy: Policy, objectives: int, train: HeadSizes, largest: float | None
) -> ConditionedHeadTrainee:
    assert largest is not None
    network = ConditionedHeadNetwork(objectives, policy.readout.weight.shape[1], train.width, train.rank)
    network.largest.fill_(largest)
    return ConditionedHeadTrainee(policy, network)


CONDITIONED_HEAD = Kind(
    name="conditioned_head",
    value=ConditionedHeadValue,
    load=partial(load_with, ConditionedHeadValue, ConditionedHeadNetwork),
    reads_policy=True,
    conditioned=True,
    learning=Learning(fresh=fresh_conditioned, save=save_trained, weights=True),
)
