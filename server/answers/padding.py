"""``stream_options.include_obfuscation``: random text that makes pieces of a stream equally long.

Who sees only the sizes of encrypted packets can otherwise read off how long each token is, and from that much of the
text. OpenAI pads unless told not to; we pad where asked, as most connections here never leave a machine or its network.
"""

from __future__ import annotations

import secrets

BLOCK = 32  # bytes; what is around a token's text in a piece leaves room for all but the longest


def padding(varies: bytes) -> str:
    """As many random characters as ``varies`` lacks to whole blocks; random, so that compression cannot undo them."""
    return secrets.token_hex(BLOCK // 2)[: -len(varies) % BLOCK]
