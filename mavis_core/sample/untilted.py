"""Tokens of guided rows that ``guidance.scope`` does not mean: drawn as an unguided row draws them.

Such a row has one candidate, the token that it has drawn already. So whatever comes later needs no exception: its tilt
changes nothing, its values are those of that token, and values with a cache keep the token like any other.
"""

from __future__ import annotations

from torch import Tensor

from mavis_core.sample.candidates import Candidates
from mavis_core.sample.noise_ahead import NoiseAhead


def settle(
    candidates: Candidates, scaled: Tensor, surviving: Tensor, untilted: Tensor, noise: NoiseAhead, ranks: Tensor | None
) -> Candidates:
    """``candidates`` with one for each untilted row: the argmax of ell / T + noise over the surviving vocabulary.

    Args:
        candidates: of the G guided rows.
        scaled, surviving: (G, V) float32, see ``Logits``.
        untilted: (R,) int64, rows.
        ranks: (G,) int64, see ``RowTensors``; a row with a rank takes the candidate of that rank.
    """
    drawn = (surviving[untilted] + noise.of_rows(untilted)).argmax(dim=1)
    if ranks is not None:
        drawn = drawn.where(ranks[untilted] < 0, _of_rank(candidates, untilted, ranks))
    ids, reference = candidates.ids.clone(), candidates.reference.clone()
    valid = reference > -float("inf")
    ids[untilted, 0] = drawn
    reference[untilted] = -float("inf")
    reference[untilted, 0] = scaled[untilted].log_softmax(dim=1).gather(1, drawn[:, None])[:, 0]
    valid[untilted] = False
    valid[untilted, 0] = True
    return Candidates(ids, reference, valid)


def _of_rank(candidates: Candidates, rows: Tensor, ranks: Tensor) -> Tensor:
    """The candidate of each row's rank, the last valid one where there are fewer: (R,)."""
    last = (candidates.reference[rows] > -float("inf")).sum(dim=1) - 1
    at = ranks[rows].clamp_min(0).minimum(last)
    return candidates.ids[rows].gather(1, at[:, None])[:, 0]
