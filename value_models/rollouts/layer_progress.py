"""How far a forest has grown, told while it grows: the tokens of a layer, weighed by what the layer will cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mavis_core.api.sampling_params import SamplingParams
from value_models.rollouts.shape import Shape


class LayerProgress:
    """Turns the tokens of one layer into shares of the forest; those of all layers add up to 1.

    Args:
        shape: of the trees.
        layer: that grows.
        samplings: of its nodes.
        tell: told which share more is there.
    """

    def __init__(
        self, shape: Shape, layer: int, samplings: Sequence[SamplingParams], tell: Callable[[float], object]
    ) -> None:
        everything = sum(shape.expected_tokens(each) for each in range(shape.depth))
        self._left = shape.expected_tokens(layer) / everything
        most = sum(sampling.n * (sampling.max_tokens or 0) for sampling in samplings)
        self._per_token = self._left / max(1, most)
        self._tell = tell

    def drawn(self, tokens: int) -> None:
        """So many tokens more."""
        self._add(min(self._left, tokens * self._per_token))

    def done(self) -> None:
        """The layer is whole, whatever ended early."""
        self._add(self._left)

    def _add(self, share: float) -> None:
        self._left -= share
        self._tell(share)
