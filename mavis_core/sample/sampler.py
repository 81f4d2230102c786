"""From logits to one token per row: edit, scale, filter, tilt, Gumbel-max. No host sync but ``Drawn.to_host``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from mavis_core.sample.candidates import Candidates
from mavis_core.sample.companions import add_columns
from mavis_core.sample.filters import apply_filters
from mavis_core.sample.kl import DrawStats, measure_draws, read_draw
from mavis_core.sample.row_tensors import RowTensors, first
from mavis_core.sample.scoring import Scored
from mavis_core.sample.tilt import combine, limit_tilt, minmax, tilted_logprobs


class Logits(NamedTuple):
    """Logits of B rows, each (B, V) float32; stages that change nothing share one tensor.

    Attributes:
        raw: the model's.
        scaled: ell / T: with bias, masks and penalties, divided by the temperature (1 for greedy rows).
        surviving: ``scaled`` with -inf where the request's own top_k, top_p or min_p removes a token.
        beside: (C, V) float32, those of the rows' companions, as the model gave them.
    """

    raw: Tensor
    scaled: Tensor
    surviving: Tensor
    beside: Tensor


@dataclass(slots=True)
class Tilted:
    """The distribution p of G guided rows over their candidates.

    Attributes:
        candidates: what competes.
        values: (G, K, M + P) float32: of the loaded objectives, then of those in words.
        logprobs: (G, K) float32 log p, -inf where not valid.
    """

    candidates: Candidates
    values: Tensor
    logprobs: Tensor


class SampledToken(NamedTuple):
    """One row's draw, on the host.

    Attributes:
        token: its id.
        finite: whether all numbers that it was drawn from were finite; if not, ``token`` means nothing.
        stats: set for a guided row, and for one that scores an answer.
    """

    token: int
    finite: bool
    stats: DrawStats | None

    def scored(self, logprob: float, base_logprob: float) -> SampledToken:
        """The same of a given token, with its log p and log ref."""
        finite = self.finite and not math.isnan(logprob) and not math.isnan(base_logprob)
        stats = replace(self.stats or UNGUIDED, logprob=logprob, base_logprob=base_logprob)
        return SampledToken(self.token, finite, stats if finite else None)


UNGUIDED = DrawStats(0.0, 0.0, 0.0, 0.0, [], [])


@dataclass(slots=True)
class Drawn:
    """What B rows drew, on the device.

    Attributes:
        tokens: (B,) int64.
        scores: (B - G,) float32, noisy logits of the tokens that unguided rows drew. Not finite where any of the row's
            logits was NaN or infinite, which the maximum lets through: a row is checked without another look at it.
        chosen: (G,) int64, index of the drawn candidate; None without guided rows.
        measured: (G, 4 + 3 (M + P)) float32, see ``measure_draws``; None without guided rows.
        scoring: the S rows that score an answer; their tokens were given.
        given: (S, 2) float32, log p and log ref of their tokens; None where all draw.
    """

    tokens: Tensor
    scores: Tensor | None
    chosen: Tensor | None
    measured: Tensor | None
    scoring: Sequence[int] = ()
    given: Tensor | None = None

    def to_host(self) -> list[SampledToken]:
        """Every row's draw, by the step's only copy to the host and only sync; float32 holds token ids below 2^24."""
        tokens = self.tokens.float()
        if self.measured is None:
            guided, width, parts = 0, 0, [tokens]
        else:
            guided, width = self.measured.shape
            parts = [tokens, self.measured.reshape(-1)]
        parts += [] if self.scores is None else [self.scores]
        parts += [] if self.given is None else [self.given.reshape(-1)]
        flat = torch.cat(parts).tolist()
        ids = [int(token) for token in flat[: len(tokens)]]
        start = len(ids)
        stats = [read_draw(flat[at : at + width]) for at in range(start, start + guided * width, width or 1)]
        end = start + guided * width + len(ids) - guided
        scores, given = flat[start + guided * width : end], flat[end:]
        found = [SampledToken(token, kept is not None, kept) for token, kept in zip(ids, stats, strict=False)]
        found += [SampledToken(token, math.isfinite(s), None) for token, s in zip(ids[guided:], scores, strict=True)]
        for row, logprob, base_logprob in zip(self.scoring, given[::2], given[1::2], strict=True):
            found[row] = found[row].scored(logprob, base_logprob)
        return found


def process_logits(raw: Tensor, rows: RowTensors) -> Logits:
    """What the requests of B rows make of the model's logits (B + C, V) float32, those of companions last."""
    raw, beside = first(raw, len(rows.rows)), raw[len(rows.rows) :]
    edited = rows.edits.apply(raw)
    scaled = edited / rows.temperature[:, None] if rows.scaled else edited
    if not rows.filtered:
        return Logits(raw, scaled, scaled, beside)
    return Logits(raw, scaled, apply_filters(scaled, rows.top_k, rows.top_p, rows.min_p, rows.widest), beside)


def tilt(scored: Scored | None, rows: RowTensors) -> Tilted | None:
    """p over the candidates: p(a) ~ exp(ell_a / T + beta * sum_m lambda_m V_m - W) with the row's options."""
    if scored is None:
        return None
    candidates, values, in_words = scored.candidates, scored.values, rows.companions
    if rows.normalised:
        combined = combine(values, rows.weights)
        if in_words is not None:
            combined = add_columns(combined, scored.in_words, in_words.weights)
        combined = torch.where(rows.minmax[:, None], minmax(combined, candidates.valid), combined)
        amount = combined * rows.beta[:, None]
    else:
        amount = combine(values, rows.tilt_weights)
        if in_words is not None:
            amount = add_columns(amount, scored.in_words, in_words.tilt_weights)
    if scored.future_kl is not None:
        amount = amount - scored.future_kl
    if candidates.valid is not None:
        amount = amount.masked_fill(~candidates.valid, 0.0)
    if rows.limited:
        amount = limit_tilt(candidates.reference, amount, rows.limit)
    if in_words is not None:
        values = torch.cat((values, scored.in_words), dim=2)
    return Tilted(candidates, values, tilted_logprobs(candidates.reference, amount))


def draw(surviving: Tensor, tilted: Tilted | None, rows: RowTensors) -> Drawn:
    """One token per row, by Gumbel-max over p for guided rows and over the surviving vocabulary for the rest.

    Rows that score an answer take its next token instead.

    Args:
        surviving: (B, V), see ``Logits``.
        tilted: of the first G rows, or None.
    """
    guided, given = rows.guided, rows.given
    parts = []
    chosen = scores = measured = None
    if tilted is not None:
        ids = tilted.candidates.ids
        chosen = (tilted.logprobs + rows.noise.of_candidates(ids)).argmax(dim=1)
        if rows.ranks is not None:
            chosen = torch.where(rows.ranks >= 0, _of_rank(tilted.logprobs, rows.ranks), chosen)
        if given is not None:
            chosen = given.taken(tilted.candidates, chosen)
        parts.append(ids.gather(1, chosen[:, None])[:, 0])
        candidates = tilted.candidates
        measured = measure_draws(candidates.reference, tilted.logprobs, tilted.values, candidates.valid, chosen)
        measured = measured if given is None else given.without_logprobs(measured)
    if guided < len(rows.rows):
        scores, best = (surviving[guided:] + rows.noise.over_vocabulary()).max(dim=1)
        parts.append(best)
    drawn = parts[0] if len(parts) == 1 else torch.cat(parts)
    if given is None:
        return Drawn(drawn, scores, chosen, measured)
    tokens = given.tokens
    return Drawn(torch.where(tokens >= 0, tokens, drawn), scores, chosen, measured)


def score_given(drawn: Drawn, logits: Logits, tilted: Tilted | None, rows: RowTensors) -> Drawn:
    """``drawn``, with what the given tokens' probabilities were."""
    if rows.given is None:
        return drawn
    tilted_logprobs = None if tilted is None else tilted.logprobs
    found = rows.given.logprobs(logits.scaled, logits.surviving, tilted_logprobs, drawn.chosen)
    return replace(drawn, scoring=rows.given.scoring, given=found)


def _of_rank(logprobs: Tensor, ranks: Tensor) -> Tensor:
    """Index of the candidate of each row's rank (G,), 0 the likeliest; a rank beyond the valid ones is the last."""
    order = logprobs.argsort(dim=1, descending=True, stable=True)
    last = (logprobs > -torch.inf).sum(dim=1) - 1
    return order.gather(1, torch.minimum(ranks, last).clamp_min(0)[:, None])[:, 0]
