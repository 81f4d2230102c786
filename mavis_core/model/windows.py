"""How far back the layers of a config see, and how long a text its positions allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

GROWING_ROPE = ("dynamic", "longrope")


def layer_windows(config: Any) -> list[int | None]:
    """The sliding window of each layer, None for one that sees everything before a token."""
    layers, window = config.num_hidden_layers, getattr(config, "sliding_window", None)
    if not window or getattr(config, "use_sliding_window", True) is False:
        return [None] * layers
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return [window] * layers
    return [window if kind == "sliding_attention" else None for kind in kinds]


def smallest_window(config: Any) -> int | None:
    return min((window for window in layer_windows(config) if window is not None), default=None)


def context_length(config: Any) -> int:
    """Most tokens of a text.

    Where the rotary frequencies change once a text grows beyond its original context, that context is the limit:
    transformers picks them by the longest text of a batch, so that rows would depend on their neighbours.
    """
    limits = [int(getattr(config, "max_position_embeddings", None) or config.n_positions)]
    for rope in _ropes(getattr(config, "rope_parameters", None)):
        original = rope.get("original_max_position_embeddings") or getattr(
            config, "original_max_position_embeddings", None
        )
        if rope.get("rope_type") in GROWING_ROPE and original:
            limits.append(int(original))
    return min(limits)


def _ropes(parameters: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A config's rotary parameters: one set, or one per type of layer."""
    if parameters:
        nested = [part for part in parameters.values() if isinstance(part, dict)]
        yield from nested or [parameters]
