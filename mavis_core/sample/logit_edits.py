"""Edits of a row's logits before anything is drawn: bias, grammars, banned stop tokens, penalties.

Built when the rows of the batch change; a batch without any of them pays one ``is None`` per step. Penalties have
vLLM's scope: repetition over prompt and output, frequency and presence over the output.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mavis_core.sample.grammar_mask import GrammarMask
from mavis_core.schedule.row import Row


class LogitEdits:
    """Edits of B rows over a vocabulary of V."""

    def __init__(self, rows: Sequence[Row], vocab_size: int, device: torch.device) -> None:
        self._rows = rows
        self._device = device
        self._bias = self._build_bias(vocab_size)
        structured = any(row.matcher is not None for row in rows)
        self._grammars = GrammarMask(rows, vocab_size, device) if structured else None
        self._penalties = _Penalties(rows, vocab_size, device) if any(map(_penalised, rows)) else None

    def apply(self, raw: Tensor) -> Tensor:
        """raw (B, V) float32 -> ell (B, V); ``raw`` itself where there is nothing to edit, never changed."""
        logits = raw if self._bias is None else raw + self._bias
        if self._grammars is not None:
            logits = self._grammars.apply(logits)
        banned = [
            (i, t) for i, row in enumerate(self._rows) if row.matcher is None and row.banned for t in row.stop_ids
        ]
        if banned:
            index = torch.tensor(banned, device=self._device)
            logits = logits.index_put((index[:, 0], index[:, 1]), logits.new_full((), -torch.inf))
        return logits if self._penalties is None else self._penalties.apply(logits)

    def advance(self, tokens: Tensor) -> None:
        """Count the tokens (B,) that were drawn."""
        if self._penalties is not None:
            self._penalties.count(tokens)

    def _build_bias(self, vocab_size: int) -> Tensor | None:
        entries = [(i, t, b) for i, row in enumerate(self._rows) for t, b in row.request.sampling.logit_bias.items()]
        if not entries:
            return None
        rows, tokens, biases = zip(*entries, strict=True)
        bias = torch.zeros(len(self._rows), vocab_size)
        bias[list(rows), list(tokens)] = torch.tensor(biases, dtype=torch.float32)
        return bias.to(self._device)


def _penalised(row: Row) -> bool:
    sampling = row.request.sampling
    return bool(sampling.presence_penalty or sampling.frequency_penalty or sampling.repetition_penalty != 1)


class _Penalties:
    def __init__(self, rows: Sequence[Row], vocab_size: int, device: torch.device) -> None:
        sampling = [row.request.sampling for row in rows]
        settings = [(s.presence_penalty, s.frequency_penalty, s.repetition_penalty) for s in sampling]
        self._presence, self._frequency, self._repetition = torch.tensor(settings, device=device).T[:, :, None]
        prompts = [torch.bincount(torch.tensor(r.tokens[: r.prompt_length]), minlength=vocab_size) for r in rows]
        outputs = [
            torch.bincount(torch.tensor(r.tokens[r.prompt_length :], dtype=torch.int64), minlength=vocab_size)
            for r in rows
        ]
        self._prompt = (torch.stack(prompts) > 0).to(device)
        self._output = torch.stack(outputs).float().to(device)

    def apply(self, logits: Tensor) -> Tensor:
        seen = self._prompt | (self._output > 0)
        scaled = torch.where(logits > 0, logits / self._repetition, logits * self._repetition)
        logits = torch.where(seen, scaled, logits)
        return logits - self._frequency * self._output - self._presence * (self._output > 0)

    def count(self, tokens: Tensor) -> None:
        self._output.scatter_add_(1, tokens[:, None], torch.ones_like(tokens, dtype=torch.float32)[:, None])
