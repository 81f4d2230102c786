"""A point: one way of steering, one set of weights, one strength. Answers are sampled once per point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mavis_core.api.search_params import DEFAULT_CHUNK_TOKENS, SearchParams

BASE = "base"


@dataclass(frozen=True, slots=True)
class Point:
    """Attributes:
    arm: its name; ``BASE`` is the policy unsteered.
    share: weight of the first axis, None for the base.
    strength: "beta-0.5", "step-100", "best_of-16"; "" for the base.
    """

    arm: str
    share: float | None = None
    strength: str = ""

    @property
    def name(self) -> str:
        """Of its files."""
        return BASE if self.share is None else f"{self.arm}/share-{self.share:g}-{self.strength}"

    def weights(self, axes: Sequence[str]) -> dict[str, float]:
        """Objective -> lambda; nothing for the base."""
        if self.share is None:
            return {}
        return dict(zip(axes, (self.share, 1 - self.share), strict=False))


def points_of(arm: str, shares: Sequence[float], strengths: Sequence[str]) -> list[Point]:
    """An arm's whole sweep; the curve over KL of each share stands together."""
    return [Point(arm, share, strength) for share in shares for strength in strengths]


def search_strength(search: SearchParams) -> str:
    """ "best_of-16"; "chunk-2x4x8" for W x K x L; with "-rewards" and "-tilted" where that is so."""
    size = f"{search.successors}"
    if search.method == "chunk":
        size = f"{search.beams}x{search.successors}x{search.chunk_tokens or DEFAULT_CHUNK_TOKENS}"
    return f"{search.method}-{size}" + "-rewards" * (search.scorer == "rewards") + "-tilted" * search.tilt
