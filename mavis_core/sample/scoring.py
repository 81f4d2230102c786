"""What passes between a step and its values: the guided rows that are to be scored, and what all values say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from mavis_core.model.attention import DecodeAttention, SiblingAttention
from mavis_core.model.kv_pool import KVPool
from mavis_core.sample.candidates import Candidates


@dataclass(slots=True)
class ScoringInput:
    """The G guided rows of one step, as device tensors.

    Attributes:
        candidates: (G, K) int64.
        valid: (G, K) bool, None where all are.
        length: (G,) int64, tokens of each row so far: the position a candidate would take.
        block_table: (G, P) int64, blocks of each row, wide enough for ``length`` + 1 tokens.
        weights: (G, M_all) float32, beta-free lambdas of all loaded objectives.
        hidden: (G, D) the policy's last hidden state, after the final norm.
        reference: (G, K) float32, log ref of the candidates.
        max_length: largest ``length`` (host integer), for trimming.
        last_token: (G,) int64, the newest token of each row, at position ``length`` - 1.
        pull: (G, M) float32, beta * lambda of a conditioned value's own objectives; None for other values.
    """

    candidates: Tensor
    valid: Tensor | None
    length: Tensor
    block_table: Tensor
    weights: Tensor
    hidden: Tensor
    reference: Tensor
    max_length: int
    last_token: Tensor
    tilt_weights: Tensor | None = None

    def newest_attention(self, pool: KVPool) -> DecodeAttention:
        """How a model whose KV is in ``pool`` reads ``last_token``, one position a row."""
        return DecodeAttention.newest(pool, self.block_table, self.length, self.max_length)

    def sibling_attention(self, pool: KVPool) -> SiblingAttention:
        """How it reads the G * K ``candidates``, all of a row at position ``length`` and blind to one another."""
        width = self.candidates.shape[1]
        return SiblingAttention(pool, self.block_table, self.length, self.max_length, width)

    def take(self, rows: Tensor) -> ScoringInput:
        """The step of a subset of its rows: (R,) int64 indices."""
        return ScoringInput(
            self.candidates[rows],
            None if self.valid is None else self.valid[rows],
            self.length[rows],
            self.block_table[rows],
            self.weights[rows],
            self.hidden[rows],
            self.reference[rows],
            self.max_length,
            self.last_token[rows],
            None if self.tilt_weights is None else self.tilt_weights[rows],
        )


class Scored(NamedTuple):
    """What all values say of the candidates of G guided rows.

    Attributes:
        candidates: that were scored.
        step: what the values were asked, for ``commit``.
        values: V, (G, K, M) float32, z-units; 0 where a row does not name the objective.
        kl_to_go: W, (G, K) float32, the KL still to come in nats; 0 for rows that do not read a conditioned value, None
            where none is loaded.
    """

    candidates: Candidates
    inputs: ScoringInput
    values: Tensor
    future_kl: Tensor | None
