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
from mavis_core.sample.floors import FoundWeights, pack
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
        found: (N, 1 + 2 F) float32, see ``floors.pack``, of the rows whose weights are found; None without such.
    """

    candidates: Candidates
    values: Tensor
    logprobs: Tensor
    found: Tensor | None = None


class SampledToken(NamedTuple):
    """One row's draw, on the host.

    Attributes:
        token: its id.
        finite: whether all numbers that it was drawn from were finite; if not, ``token`` means nothing.
        stats: set for a guided row, and for one that scores an answer.
        found: set where the row's weights are found at each step.
    """

    token: int
    finite: bool
    stats: DrawStats | None
    found: FoundWeights | None = None

    def scored(self, logprob: float, base_logprob: float) -> SampledToken:
        """The same of a given token, with its log p and log ref."""
        finite = self.finite and not math.isnan(logprob) and not math.isnan(base_logprob)
        stats = replace(self.stats or UNGUIDED, logprob=logprob, base_logprob=base_logprob)
        return self._replace(finite=finite, stats=stats if finite else None)


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
        found: (N, 1 + 2 F) float32, of ``Tilted``; ``solved`` says which rows' they are.
        scoring: the S rows that score an answer; their tokens were given.
        given: (S, 2) float32, log p and log ref of their tokens; None where all draw.
    """

    tokens: Tensor
    scores: Tensor | None
    chosen: Tensor | None
    measured: Tensor | None
    found: Tensor | None = None
    solved: Sequence[int] = ()
    scoring: Sequence[int] = ()
    given: Tensor | None = None

    def to_host(self) -> list[SampledToken]:
        """Every row's draw, by the step's only copy to the host and only sync; float32 holds token ids below 2^24."""
        scores = None if self.scores is None else self.scores[:, None]
        parts = _on_host(self.tokens.float()[:, None], self.measured, scores, self.found, self.given)
        tokens, measured, noisy, found, given = parts
        stats = [read_draw(numbers) for numbers in measured]
        drawn = [
            SampledToken(int(token), kept is not None, kept) for (token,), kept in zip(tokens, stats, strict=False)
        ]
        unguided = zip(tokens[len(stats) :], noisy, strict=True)
        drawn += [SampledToken(int(token), math.isfinite(score), None) for (token,), (score,) in unguided]
        for row, packed in zip(self.solved, found, strict=True):
            drawn[row] = drawn[row]._replace(found=FoundWeights.read(packed))
        for row, (logprob, base_logprob) in zip(self.scoring, given, strict=True):
            drawn[row] = drawn[row].scored(logprob, base_logprob)
        return drawn


def _on_host(*parts: Tensor | None) -> list[list[list[float]]]:
    """Rows of each part (N, W), by one copy; none of a part that is None."""
    flat = torch.cat([part.reshape(-1) for part in parts if part is not None]).tolist()
    found, at = [], 0
    for part in parts:
        count, width = (0, 0) if part is None else part.shape
        found.append([flat[at + i * width : at + (i + 1) * width] for i in range(count)])
        at += count * width
    return found


def process_logits(raw: Tensor, rows: RowTensors) -> Logits:
    """What the requests of B rows make of the model's logits (B + C, V) float32, those of companions last."""
    rows.find_untilted()
    raw, beside = first(raw, len(rows.rows)), raw[len(rows.rows) :]
    edited = rows.edits.apply(raw)
    scaled = edited / rows.temperature[:, None] if rows.scaled else edited
    surviving = scaled if rows.filters is None else rows.filters.apply(scaled)
    return Logits(raw, scaled, surviving, beside)


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
    found = None
    if rows.floors is not None:
        solution = rows.floors.solve(candidates, amount, values)
        amount = amount.index_copy(0, rows.floors.index, solution.tilt.float())
        found = pack(solution)
    return Tilted(candidates, values, tilted_logprobs(candidates.reference, amount), found)


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
    tokens = parts[0] if len(parts) == 1 else torch.cat(parts)
    if given is not None:
        tokens = torch.where(given.tokens >= 0, given.tokens, tokens)
    if tilted is None or rows.floors is None:
        return Drawn(tokens, scores, chosen, measured)
    return Drawn(tokens, scores, chosen, measured, tilted.found, rows.floors.rows)


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
