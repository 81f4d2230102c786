"""API keys: who is calling, and what that caller may do.

Only SHA-256 digests are held, and a token is compared with all of them in constant time, so neither a prefix nor the
number of the matching key shows in the timing. A plain digest is enough because keys are random (``mavis key`` makes
them); a password would need a slow hash on every request.

Preferences and counters of a caller are stored under ``owner``, a one-way function of the digest: a copy of the
database holds neither keys nor anything that the key file would accept.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

PREFIX = "sk-mavis-"
HASHED = re.compile(r"sha256:([0-9a-f]{64})")
OWNER = b"mavis: owner of preferences"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One caller. ``None`` limits are the server's defaults; ``name`` is for people, in messages and logs."""

    name: str
    digest: bytes = field(repr=False)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    admin: bool = False

    @property
    def owner(self) -> str:
        return hmac.new(self.digest, OWNER, hashlib.sha256).hexdigest()


# Every caller of a server that has no keys; they share one set of preferences and limits.
ANONYMOUS = ApiKey("anonymous", b"")


class KeyRing:
    """Every accepted key; ``required`` says whether a caller must have one."""

    def __init__(self, keys: Iterable[ApiKey], admin: ApiKey | None = None) -> None:
        keys = tuple(keys)
        self.required = bool(keys)
        self.has_admin = admin is not None
        self._keys = keys if admin is None else (*keys, admin)
        self.names = [key.name for key in self._keys]

    def find(self, token: str) -> ApiKey | None:
        """The key that equals ``token``, a header's text (latin-1), or None."""
        found = None
        digest = hashlib.sha256(token.encode("latin-1")).digest()
        for key in self._keys:  # always to the end; the admin key is last, so it wins over an equal key
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found


def digest_of(key: str) -> bytes:
    """The digest of a plain key."""
    return hashlib.sha256(key.encode()).digest()


def read_digest(entry: str) -> bytes:
    """The digest of a plain key or of its stored form, ``sha256:<hex>``."""
    hashed = HASHED.fullmatch(entry)
    return bytes.fromhex(hashed[1]) if hashed else digest_of(entry)


def make_key() -> tuple[str, str]:
    """A random key of 256 bits, and its stored form."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, "sha256:" + digest_of(key).hex()
