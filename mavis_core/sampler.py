"""From logits to one token per row: scale, filter, tilt, Gumbel-max. Device tensors only, no host sync."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import sub

import torch
from torch import Tensor

from mavis_core.batch import RowTensors
from mavis_core.candidates import Candidates
from mavis_core.filters import apply_filters
from mavis_core.kl import kl_parts
from mavis_core.tilt import combine, highest, limit_tilt, lowest, minmax, tilted_logprobs

FIXED_COLUMNS = 4  # of a row's statistics on the host, before the values
TINY = 1e-38


@dataclass(slots=True)
class Tilted:
    """The distribution p of G guided rows over their candidates.

    Attributes:
        candidates: what competes.
        values: (G, K, M) float32.
        logprobs: (G, K) float32 log p, -inf where not valid.
    """

    candidates: Candidates
    values: Tensor
    logprobs: Tensor


@dataclass(slots=True)
class Drawn:
    """What B rows drew.

    Attributes:
        tokens: (B,) int64.
        scores: (B - G,) float32, noisy logits of the tokens that unguided rows drew. Not finite where any of the row's
            logits was NaN or infinite, which the maximum lets through: a row is checked without another look at it.
        chosen: (G,) int64, index of the drawn candidate.
        stats: (G, 5 + 3 M) float32: token, the two ``kl_parts``, log p, log ref, then V of the drawn candidate, lowest
            and highest V of the candidates, per objective; None without guided rows. log p is NaN where a logit was not
            finite, or a value that the row asks for.
    """

    tokens: Tensor
    scores: Tensor | None
    chosen: Tensor | None
    stats: Tensor | None

    def to_host(self) -> tuple[list[int], list[list[float]], list[bool]]:
        """The step's only device-to-host copy and sync: token ids (exact in float32 to 2^24) and statistics.

        Returns:
            B token ids; per guided row [steering, truncation, log p, log ref, V..., spread of V...]; and B times
            whether all numbers that the row was drawn from were finite.
        """
        guided, width = (0, 0) if self.stats is None else self.stats.shape
        parts = [] if self.stats is None else [self.stats.reshape(-1)]
        if self.scores is not None:
            parts += [self.tokens[guided:].float(), self.scores]
        flat = (parts[0] if len(parts) == 1 else torch.cat(parts)).tolist()
        made = [flat[i * width : (i + 1) * width] for i in range(guided)]
        rest = flat[guided * width :]
        drawn, scores = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        tokens = [int(row[0]) for row in made] + [int(token) for token in drawn]
        finite = [all(map(math.isfinite, row)) for row in made] + [math.isfinite(score) for score in scores]
        return tokens, [_on_host(row) if sound else [] for row, sound in zip(made, finite, strict=False)], finite


def _on_host(row: list[float]) -> list[float]:
    """What is left to do on the numbers of one row, where it costs no kernel."""
    objectives = (len(row) - 1 - FIXED_COLUMNS) // 3
    mass = math.log(max(row[2], TINY))
    low = 1 + FIXED_COLUMNS + objectives
    high = low + objectives
    spread = map(sub, row[high:], row[low:high])
    return [row[1] + mass, -mass, *row[3:low], *spread]


def scale(logits: Tensor, rows: RowTensors) -> Tensor:
    """ell / T, (B, V); greedy rows have T = 1 here."""
    return logits / rows.temperature[:, None] if rows.scaled else logits


def survive(scaled: Tensor, rows: RowTensors) -> Tensor:
    """-inf where the request's own top_k, top_p or min_p removes a token, (B, V)."""
    if not rows.filtered:
        return scaled
    return apply_filters(scaled, rows.top_k, rows.top_p, rows.min_p, rows.widest)


def tilt(candidates: Candidates, values: Tensor, rows: RowTensors, to_go: Tensor | None = None) -> Tilted:
    """p over the candidates: p(a) ~ exp(ell_a / T + beta * sum_m lambda_m V_m - W) with the row's options.

    Args:
        values: (G, K, M).
        to_go: (G, K) W, the KL still to come in nats; None is 0.
    """
    if rows.normalised:
        combined = combine(values, rows.weights)
        combined = torch.where(rows.minmax[:, None], minmax(combined, candidates.valid), combined)
        amount = combined * rows.beta[:, None]
    else:
        amount = combine(values, rows.pull)
    if to_go is not None:
        amount = amount - to_go
    if candidates.valid is not None:
        amount = amount.masked_fill(~candidates.valid, 0.0)
    if rows.limited:
        amount = limit_tilt(candidates.reference, amount, rows.limit)
    return Tilted(candidates, values, tilted_logprobs(candidates.reference, amount))


def draw(surviving: Tensor, tilted: Tilted | None, rows: RowTensors) -> Drawn:
    """One token per row, by Gumbel-max over p for guided rows and over the surviving vocabulary for the rest.

    Args:
        surviving: (B, V) from ``survive``.
        tilted: of the first G rows, or None.
    """
    guided = rows.guided
    parts = []
    chosen = scores = stats = None
    if tilted is not None:
        ids = tilted.candidates.ids
        chosen = (tilted.logprobs + rows.noise.of_candidates(ids)).argmax(dim=1)
        if rows.ranks is not None:
            chosen = torch.where(rows.ranks >= 0, _of_rank(tilted.logprobs, rows.ranks), chosen)
        parts.append(ids.gather(1, chosen[:, None])[:, 0])
        stats = _statistics(tilted, chosen, parts[0])
    if guided < len(rows.rows):
        scores, best = (surviving[guided:] + rows.noise.over_vocabulary()).max(dim=1)
        parts.append(best)
    return Drawn(parts[0] if len(parts) == 1 else torch.cat(parts), scores, chosen, stats)


def _of_rank(logprobs: Tensor, ranks: Tensor) -> Tensor:
    """Index of the candidate of each row's rank (G,), 0 the likeliest; a rank beyond them is the last."""
    order = logprobs.argsort(dim=1, descending=True, stable=True)
    return order.gather(1, ranks.clamp(0, logprobs.shape[1] - 1)[:, None])[:, 0]


def _statistics(tilted: Tilted, chosen: Tensor, tokens: Tensor) -> Tensor:
    reference, values, valid = tilted.candidates.reference, tilted.values, tilted.candidates.valid
    every = torch.cat((tilted.logprobs[:, :, None], reference[:, :, None], values), dim=2)
    picked = every.gather(1, chosen[:, None, None].expand(-1, 1, every.shape[2]))[:, 0]
    if valid is None:
        low, high = values.aminmax(dim=1)
    else:
        low, high = lowest(values, valid[:, :, None]), highest(values, valid[:, :, None])
    ratio, mass = kl_parts(reference, tilted.logprobs, valid is None)
    return torch.cat((tokens[:, None].float(), ratio[:, None], mass[:, None], picked, low, high), dim=1)
