"""Architectures that are refused by name, since paged attention would get them silently wrong."""

from __future__ import annotations

from typing import Any

from mavis_core.api.errors import LoadError


def refuse_unsupported(config: Any, name: str) -> None:
    """Refuse what is not causal attention over plain keys and values in every layer.

    Args:
        config: of the part that reads text.

    Raises:
        LoadError: naming the model, its architecture and the feature.
    """
    reason = _unsupported(config)
    if reason is not None:
        raise LoadError(f"{name}: {config.model_type} {reason}")


def _unsupported(config: Any) -> str | None:
    def stated(field: str) -> Any:
        return getattr(config, field, None)

    if stated("is_encoder_decoder"):
        return "is an encoder-decoder model; only decoder-only models are served"
    if other := set(stated("layer_types") or ()) - {"full_attention", "sliding_attention"}:
        return f"has layers of type {', '.join(sorted(other))}; only full and sliding attention are served"
    if not stated("num_attention_heads"):
        return "has no attention layers; recurrent models are not served"
    if stated("use_bidirectional_attention") or stated("is_causal") is False:
        return "reads texts in both directions; only causal models are served"
    if stated("kv_lora_rank"):
        return "keeps compressed keys and values (multi-head latent attention), which is not supported"
    if stated("num_kv_shared_layers"):
        return f"shares keys and values between layers (num_kv_shared_layers={config.num_kv_shared_layers})"
    if stated("global_head_dim") not in (None, stated("head_dim")):
        return f"has heads of {config.head_dim} and {config.global_head_dim} numbers; one size is supported"
    return None
