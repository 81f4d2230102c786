"""A token's log-probability as chat completions and responses tell it (OpenAI's "logprobs" objects)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mavis_core.api.messages import TokenLogprobs
from server.text.token_text import Reading


def token_logprobs(
    reading: Reading, position: TokenLogprobs, name: Callable[[Reading, int], str] = Reading.text_of
) -> dict[str, Any]:
    """The drawn token with its alternatives; ``reading`` stands before it and moves on behind it.

    Args:
        name: what a token is called where it stands.
    """

    def one(token_id: int, logprob: float) -> dict[str, Any]:
        return {"token": name(reading, token_id), "bytes": list(reading.bytes_of(token_id)), "logprob": logprob}

    top = [one(*alternative) for alternative in position.top]
    found = one(position.token_id, position.logprob) | {"top_logprobs": top}
    reading.read(position.token_id)
    return found
