"""A policy and values that are tables over whole histories, so that every distribution is known exactly.

A history of tokens t_0 .. t_n is numbered sum_i (t_i + 1) * base^i. The policy computes that number through the
engine's own attention (uniform weights average the values; times the length, that is the sum), so caches,
chunks, forks and block tables are all exercised; the hidden state is the table's row and, last, the number.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.model.attention import AttentionStep, PrefillAttention
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.sample.scoring import ScoringInput
from mavis_core.values.protocol import ValueSpec


def number(tokens: Sequence[int], base: int) -> int:
    return sum((token + 1) * base**i for i, token in enumerate(tokens))


class TableBackbone:
    """The part of ``PagedModel`` that the engine uses."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.base = table.shape[1] + 1
        self.cache = CacheSpec(1, 1, 1)

    def _hidden(self, numbers: Tensor) -> Tensor:
        return torch.cat((self.table[numbers], numbers[:, None].float()), dim=1)

    def forward(self, tokens: Tensor, positions: Tensor, attention: AttentionStep) -> Tensor:
        digits = ((tokens + 1) * self.base**positions).float()[:, None, None]
        mean = attention.attend(0, torch.zeros_like(digits), torch.zeros_like(digits), digits, 1.0)
        return self._hidden((mean[:, 0, 0] * (positions + 1)).round().long())

    def forward_plain(self, tokens: Tensor) -> Tensor:
        return self._hidden(((tokens + 1) * self.base ** torch.arange(len(tokens))).cumsum(0))


class TablePolicy:
    """A stand-in for ``Policy`` with logits ``table[number(history)]``: table (base^longest, V) float32."""

    def __init__(
        self, table: Tensor, longest: int, stop_token_ids: tuple[int, ...] = (), tokenizer: Tokenizer | None = None
    ) -> None:
        self.backbone = TableBackbone(table)
        self.max_model_len = longest
        self.stop_token_ids = stop_token_ids
        self.tokenizer = tokenizer
        self.name = "table"
        self.vocab_size = table.shape[1]
        self.sampling_defaults: dict[str, float] = {}
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden[:, :-1].float()


class TableValue:
    """V(s + a) = table[number(s + a)]: table (base^longest, M) float32."""

    def __init__(self, objectives: Sequence[ObjectiveInfo], table: Tensor, vocab_size: int) -> None:
        self.spec = ValueSpec("table", tuple(objectives), (), None)
        self.table = table
        self.base = vocab_size + 1

    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        assert not pools

    def extend(self, tokens: Tensor, positions: Tensor, attention: PrefillAttention) -> None:
        """The history is in the hidden state."""

    def score(self, inputs: ScoringInput) -> Tensor:
        following = (inputs.candidates + 1) * self.base ** inputs.length[:, None]
        return self.table[inputs.hidden[:, -1:].long() + following]

    def commit(self, inputs: ScoringInput, chosen: Tensor) -> None:
        """Nothing to keep."""

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        return self.table[[number([*tokens, candidate], self.base) for candidate in candidates]]


def memoryless_policy(
    logits: Sequence[float], longest: int = 16, stop_token_ids: tuple[int, ...] = (), tokenizer: Tokenizer | None = None
) -> MemorylessPolicy:
    """A policy with the same logits after every history."""
    return MemorylessPolicy(torch.tensor([list(logits)]), longest, stop_token_ids, tokenizer)


class MemorylessBackbone(TableBackbone):
    def _hidden(self, numbers: Tensor) -> Tensor:
        return torch.cat((self.table.expand(len(numbers), -1), numbers[:, None].float()), dim=1)

    def forward(self, tokens: Tensor, positions: Tensor, attention: AttentionStep) -> Tensor:
        zeros = torch.zeros(len(tokens), 1, 1)
        attention.attend(0, zeros, zeros, zeros, 1.0)
        return self._hidden(tokens)

    def forward_plain(self, tokens: Tensor) -> Tensor:
        return self._hidden(tokens)


class MemorylessPolicy(TablePolicy):
    """Logits (1, V) after any history, of any length; the hidden state's last number is the newest token."""

    def __init__(
        self, table: Tensor, longest: int, stop_token_ids: tuple[int, ...], tokenizer: Tokenizer | None
    ) -> None:
        super().__init__(table, longest, stop_token_ids, tokenizer)
        self.backbone = MemorylessBackbone(table)


class TokenValue:
    """V(s + a) = table[a], whatever s: table (V, M) float32."""

    def __init__(self, objectives: Sequence[ObjectiveInfo], table: Tensor) -> None:
        self.spec = ValueSpec("tokens", tuple(objectives), (), None)
        self.table = table

    def bind(self, pools: Sequence[KVPool], device: torch.device, dtype: torch.dtype) -> None:
        assert not pools

    def extend(self, tokens: Tensor, positions: Tensor, attention: PrefillAttention) -> None:
        """The value does not depend on the text."""

    def score(self, inputs: ScoringInput) -> Tensor:
        return self.table[inputs.candidates]

    def commit(self, inputs: ScoringInput, chosen: Tensor) -> None:
        """Nothing to keep."""

    def reference(self, tokens: Sequence[int], candidates: Sequence[int], hidden: Tensor) -> Tensor:
        return self.table[list(candidates)]
