"""What a ``q_lm`` reads off its hidden state at the newest token: a number per objective for every next token.

    V_m(s + a) = [state of the text]_m . [row of token a]_m

Two forms. ``LowRankReadout`` is the network of a ``head`` over another model: both factors have few numbers, and rows
are made from the model's own embedding, so that a vocabulary of any size costs few parameters. ``MatrixReadout`` is a
matrix from hidden state to vocabulary, what public checkpoints have. As rows do not depend on the text, decoding makes
the table of all of them once and gathers those of the candidates.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from value_models.kinds.head_network import HeadNetwork


class VocabularyReadout(Protocol):
    """Either form, S numbers to a factor."""

    def read_state(self, hidden: Tensor) -> Tensor:
        """The model's hidden states (N, D') -> (M, N, S) float32."""
        ...

    def table(self, embedding: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Rows of ``tokens``, (N,) int64, or of all: the model's input embedding (V, D') -> (N, M, S) float32."""
        ...


class LowRankReadout(HeadNetwork):
    """V_m(s + a) = u_m(h) . A_m[a] + c_m(h), see ``head_network``; A is made from the model's input embedding."""

    def table(self, embedding: Tensor, tokens: Tensor | None = None) -> Tensor:
        """In training the embedding learns from this too; only the size that it is divided by is taken as given."""
        size = embedding.detach().float().pow(2).mean().sqrt()
        rows = embedding if tokens is None else embedding[tokens]
        return self.read_tokens(rows.float() / size)


class MatrixReadout(nn.Module):
    """V_m(s + a) = W_m[a] . h + b_m[a].

    Args:
        objectives: M.
        hidden_size: D'.
        vocab_size: V.
    """

    def __init__(self, objectives: int, hidden_size: int, vocab_size: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(vocab_size, objectives, hidden_size + 1))
        """[W, b]: (V, M, D' + 1), in the order in which decoding gathers."""

    def read_state(self, hidden: Tensor) -> Tensor:
        state = torch.cat((hidden, torch.ones_like(hidden[:, :1])), dim=1)
        return state.expand(self.rows.shape[1], -1, -1)

    def table(self, embedding: Tensor, tokens: Tensor | None = None) -> Tensor:
        return self.rows if tokens is None else self.rows[tokens]
