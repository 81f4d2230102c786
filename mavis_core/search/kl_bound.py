"""How far choosing among samples can move their distribution, in nats: bounds, since the KL itself is unknown."""

from __future__ import annotations

import math


def best_of_bound(n: int) -> float:
    """KL(best of n || one sample) <= log n - (n - 1) / n, whatever the score."""
    return math.log(n) - (n - 1) / n


def chunk_bound(beams: int, successors: int, rounds: int) -> float:
    """KL of a text found in ``rounds`` rounds of chunk search from one that was sampled in one go.

    With one beam every round is a best-of-K given what came before, and KL adds up along a text. With W beams a text
    is drawn W * K^rounds times as often as by plain sampling, on average, so its density grows by at most that.
    """
    if beams == 1:
        return rounds * best_of_bound(successors)
    return math.log(beams) + rounds * math.log(successors)
