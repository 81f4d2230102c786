"""``stream_options.include_obfuscation``: random text that makes pieces of a stream equally long.

Whoever sees the sizes of encrypted packets can otherwise tell how long each token is, and from that much of the text.
OpenAI pads unless told not to; we pad where asked, as most connections here never leave a machine or its network.
"""

from __future__ import annotations

import secrets

BLOCK = 32  # bytes, enough for the rest of a chunk and all but the longest tokens


def padding(varies: bytes) -> str:
    """Characters that fill ``varies`` up to whole blocks; random, so that compression cannot remove them."""
    return secrets.token_hex(BLOCK // 2)[: -len(varies) % BLOCK]
