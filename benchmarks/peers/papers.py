"""The decoding loop of MAVIS (arXiv 2508.13415), written anew with the forwards and waits of its public code.

    p(a) ∝ exp(ell_a / T + beta sum_m lambda_m V_m(s⊕a))    over the k most likely tokens

Each objective has a value LM. The public code has two ways to ask it about k candidates, and both keep its KV:

- ``one_by_one``, for a single text: the candidates are a batch of k texts, each with its own copy of the text's KV. A
  forward reads two tokens of every copy, the one that was drawn last and the candidate; the candidate's KV is cut off
  again.
- ``side_by_side``, for a batch of texts: the candidates stand behind their text at one position, hidden from each other
  by a mask. A forward reads the token that was drawn last and k candidates; their KV is cut off again.

So the drawn token is computed twice, LMs are asked one after the other, and the host waits for the values of each, and
for the question whether a text has ended. Nobody's text ends here, but the host asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from benchmarks.comparison.rounds import seconds

CANDIDATES = 40
BETA = 1.0
NEVER = -1  # the token that would end a text
Way = Literal["one by one", "side by side"]


@dataclass(slots=True)
class PapersValue:
    """A value LM with one output, the weight of its objective, and the KV of the texts so far."""

    backbone: Any
    readout: nn.Linear
    weight: float
    cache: Any = field(default_factory=DynamicCache)

    def reset(self) -> None:
        self.cache = DynamicCache()

    def asked(self, way: Way, texts: Tensor, candidates: Tensor) -> Tensor:
        return (self.one_by_one if way == "one by one" else self.side_by_side)(texts, candidates)

    def one_by_one(self, text: Tensor, candidates: Tensor) -> Tensor:
        """text (1, T), candidates (1, K) -> values (1, K) on the host."""
        copies = torch.cat((text.expand(candidates.shape[1], -1), candidates.T), dim=1)
        unread = copies[:, -2:] if self.cache.get_seq_length() else copies
        out = self.backbone(input_ids=unread, past_key_values=self.cache, use_cache=True)
        values: Tensor = self.readout(out.last_hidden_state[:, -1]).cpu()
        self.cache.crop(-1)
        return values.T

    def side_by_side(self, texts: Tensor, candidates: Tensor) -> Tensor:
        """texts (B, T), candidates (B, K) -> values (B, K) on the host."""
        length, width = texts.shape[1], candidates.shape[1]
        if not self.cache.get_seq_length():
            self.backbone(input_ids=texts, past_key_values=self.cache, use_cache=True)
        known = self.cache.get_seq_length()  # all of the text at first, then all but its last token
        unread = torch.cat((texts[:, known:], candidates), dim=1)
        positions = torch.cat((torch.arange(known, length), torch.full((width,), length))).to(texts.device)
        out = self.backbone(
            input_ids=unread,
            attention_mask=_siblings(texts.shape[0], length - known, width, length, self.readout.weight),
            position_ids=positions.expand(texts.shape[0], -1),
            past_key_values=self.cache,
            use_cache=True,
        )
        values: Tensor = self.readout(out.last_hidden_state[:, -width:]).squeeze(2).cpu()
        self.cache.crop(-width)
        return values


def _siblings(rows: int, drawn: int, width: int, length: int, like: Tensor) -> Tensor:
    """(B, 1, drawn + K, T + K) as ``like``, added to the scores: texts are causal, a candidate sees its text and
    itself."""
    mask = torch.full((drawn + width, length + width), torch.finfo(like.dtype).min, dtype=like.dtype)
    for i in range(drawn):
        mask[i, : length - drawn + i + 1] = 0
    mask[drawn:, :length] = 0
    mask[drawn:, length:].fill_diagonal_(0)
    return mask.to(like.device).expand(rows, 1, -1, -1)


class PapersArm:
    """The loop over a policy with an LM head.

    Args:
        model: a transformers causal LM.
        values: on its device.
        way: how values are asked; "one by one" is for one row.
    """

    def __init__(self, model: Any, values: Sequence[PapersValue], way: Way) -> None:
        self._model, self._values, self._way = model, values, way

    def seconds(self, prompts: list[list[int]], tokens: int) -> float:
        return seconds(partial(self.run, prompts, tokens))

    @torch.inference_mode()
    def run(self, prompts: list[list[int]], tokens: int) -> Tensor:
        """The prompts with ``tokens`` more, (B, T)."""
        texts = torch.tensor(prompts, device=self._model.device)
        cache, unread = DynamicCache(), texts
        for value in self._values:
            value.reset()
        for _ in range(tokens):
            logits = self._model(input_ids=unread, past_key_values=cache, use_cache=True).logits[:, -1].float()
            top = logits.topk(CANDIDATES, dim=-1)
            tilted = top.values + BETA * self.values(texts, top.indices).to(logits.device)
            chosen = torch.multinomial(tilted.softmax(-1), 1)
            unread = top.indices.gather(1, chosen)
            texts = torch.cat((texts, unread), dim=1)
            if bool((unread == NEVER).any()):
                raise AssertionError("a token that does not exist was drawn")
        return texts

    def values(self, texts: Tensor, candidates: Tensor) -> Tensor:
        """Weighted sum of all objectives' values, (B, K), on the host."""
        each = [value.weight * value.asked(self._way, texts, candidates) for value in self._values]
        return torch.stack(each).sum(0)

    def close(self) -> None:
        for value in self._values:
            value.reset()
