"""The network of a ``head``: state and token, each through two layers, meet in one product.

    V_m(s + a) = u_m(h) . A_m[a] + c_m(h),    [u_m, c_m] = two-layer network of h,    A_m = two-layer network of E

with h the policy's last hidden state at s and E its output embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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

    @property
    def sizes(self) -> dict[str, int]:
        """What it was made with, but for the objectives: ``architecture`` in a value's config."""
        return {"hidden_size": self.state_in.shape[1], "width": self.state_in.shape[2], "rank": self.rank}

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


def _scaled(*shape: int) -> Tensor:
    """Normal initialisation with variance 1 / fan-in."""
    return torch.randn(*shape) * shape[-2] ** -0.5
