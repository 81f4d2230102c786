"""Kind ``head``: a small network on the policy's own last hidden state; values cost almost nothing.

    V_m(s + a) = u_m(h) . A_m[a] + c_m(h),    [u_m, c_m] = two-layer network of h,    A_m = two-layer network of E

with h the policy's hidden state at s after the final norm (which the policy computes anyway) and E its output
embedding. A is a table over the vocabulary, computed once at load, so a step reads K rows of it. This is IVG's
vocabulary-sized score head (arXiv 2409.17819) in factored form, and the MAVIS paper's open question 1.

Heads of equal shape are stacked into one network, so four objectives cost as many kernels as one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mavis_core.attention import PrefillAttention
from mavis_core.kv_pool import KVPool
from mavis_core.messages import ObjectiveInfo
from mavis_core.value import ScoreStep, ValueSpec


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form: on a CPU the exact one takes five times as long for these few numbers."""
    return F.gelu(x, approximate="tanh")


class HeadNetwork(nn.Module):
    """Parameters of M objectives, each with a network of its own.

    Args:
        objectives: M.
        hidden_size: D, of the policy.
        width: F, hidden units of both networks.
        rank: r, of the product u . A.
    """

    def __init__(self, objectives: int, hidden_size: int, width: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.state_in = nn.Parameter(_scaled(objectives, hidden_size, width))
        self.state_in_bias = nn.Parameter(torch.zeros(objectives, 1, width))
        self.state_out = nn.Parameter(_scaled(objectives, width, rank + 1) * 0.1)
        self.state_out_bias = nn.Parameter(torch.zeros(objectives, 1, rank + 1))
        self.token_in = nn.Parameter(_scaled(objectives, hidden_size, width))
        self.token_in_bias = nn.Parameter(torch.zeros(objectives, 1, width))
        self.token_out = nn.Parameter(_scaled(objectives, width, rank))

    def read_state(self, hidden: Tensor) -> Tensor:
        """h (N, D) -> (M, N, r + 1): u and, last, c."""
        objectives = self.state_in.shape[0]
        inner = gelu(torch.baddbmm(self.state_in_bias, hidden.expand(objectives, -1, -1), self.state_in))
        return torch.baddbmm(self.state_out_bias, inner, self.state_out)

    def read_tokens(self, embedding: Tensor) -> Tensor:
        """Rows of E, scaled to unit RMS: (N, D) -> A (N, M, r + 1), the last column 1: it carries c."""
        objectives = self.token_in.shape[0]
        inner = gelu(torch.baddbmm(self.token_in_bias, embedding.expand(objectives, -1, -1), self.token_in))
        table = torch.bmm(inner, self.token_out).transpose(0, 1)
        return torch.cat((table, torch.ones_like(table[:, :, :1])), dim=2)

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """hidden (G, D), the candidates' rows of A (G, K, M, r + 1) -> V (G, K, M)."""
        return product(self.read_state(hidden), table)


def product(state: Tensor, table: Tensor) -> Tensor:
    """[u, c] . [A, 1]: state (M, G, r + 1), table (G, K, M, r + 1) -> V (G, K, M)."""
    return torch.linalg.vecdot(table, state.transpose(0, 1)[:, None])


def unit_rms(embedding: Tensor) -> Tensor:
    """Rows of an embedding (V, D) scaled to a common overall size, float32; models differ by orders of magnitude."""
    rows = embedding.detach().float()
    return rows / rows.pow(2).mean().sqrt()


class HeadValue:
    """A loaded head, or several stacked.

    Args:
        name: for messages.
        objectives: M.
        network: of M objectives.
        embedding: (V, D) the policy's output embedding.
    """

    def __init__(self, name: str, objectives: Sequence[ObjectiveInfo], network: HeadNetwork, embedding: Tensor) -> None:
        self.spec = ValueSpec(name, tuple(objectives), (), None)
        self.network = network.eval().requires_grad_(False)
        self._embedding = embedding

    @classmethod
    def stack(cls, heads: Sequence[HeadValue]) -> HeadValue:
        """Several heads of the same width and rank for the same policy, as one."""
        first = heads[0].network
        network = HeadNetwork(0, first.state_in.shape[1], first.state_in.shape[2], first.rank)
        for name, _ in first.named_parameters():
            parts = [dict(head.network.named_parameters())[name].data for head in heads]
            setattr(network, name, nn.Parameter(torch.cat(parts)))
        objectives = [objective for head in heads for objective in head.spec.objectives]
        return cls(" + ".join(head.spec.name for head in heads), objectives, network, heads[0]._embedding)

    @property
    def shape(self) -> tuple[int, int]:
        """(width, rank): heads of equal shape can be stacked."""
        return self.network.state_in.shape[2], self.network.rank

    @torch.inference_mode()
    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        """Everything in float32: it is tiny, and values are exponentiated.

        The table over the vocabulary is computed here, and the first layers of all objectives laid out as one.
        """
        network = self.network.to(device=device, dtype=torch.float32)
        self._table = network.read_tokens(unit_rms(self._embedding.to(device)))
        self._first = network.state_in.transpose(1, 2).flatten(0, 1).contiguous()
        self._first_bias = network.state_in_bias.flatten()

    def extend(self, tokens: Tensor, positions: Tensor, attention: PrefillAttention) -> None:
        """Nothing to read: the policy's hidden state holds the text."""

    def score(self, step: ScoreStep) -> Tensor:
        """Five kernels whatever M: linear, gelu, batched product, one gather of K rows, inner products."""
        rows, width = step.candidates.shape
        objectives, size = self._table.shape[1:]
        inner = gelu(F.linear(step.hidden.float(), self._first, self._first_bias))
        inner = inner.view(rows, objectives, -1).transpose(0, 1)
        state = torch.baddbmm(self.network.state_out_bias, inner, self.network.state_out)
        table = self._table.flatten(1).index_select(0, step.candidates.reshape(-1))
        return product(state, table.view(rows, width, objectives, size))

    def commit(self, step: ScoreStep, chosen: Tensor) -> None:
        """Nothing to keep."""

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        embedding = unit_rms(self._embedding.to(hidden.device))[list(candidates)]
        table = self.network.read_tokens(embedding)
        found: Tensor = self.network(hidden.float()[None], table[None])[0]
        return found


def _scaled(*shape: int) -> Tensor:
    """Normal initialisation with variance 1 / fan-in."""
    return torch.randn(*shape) * shape[-2] ** -0.5
