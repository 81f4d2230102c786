"""``--api-key-file``: a YAML list of keys, each with a name and limits of its own, and the ring made of all keys.

An entry is a key, or a mapping with ``key``, ``name``, ``requests_per_minute`` and ``tokens_per_minute``. A key stands
there as ``sha256:<hex>`` (what ``mavis key`` prints) or plain; plain ones are hashed while the file is read.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, model_validator

from mavis_core.api.errors import ConfigError
from server.http.keys import HASHED, ApiKey, KeyRing, digest_of, make_key, read_digest
from server.protocol.fields import Strict
from server.settings import Settings
from server.yaml_file import read_yaml

MAX_NAME = 100
PLAIN = re.compile(r"[!-~]{8,512}")  # what an Authorization header can carry in one piece


def _known_form(key: str) -> str:
    # A stored digest that is cut short must not pass as a plain key.
    if not (HASHED.fullmatch(key) or (PLAIN.fullmatch(key) and not key.startswith("sha256:"))):
        raise ValueError("a key is sha256: and 64 hex digits, or 8 to 512 visible ASCII characters")
    return key


KeyText = Annotated[str, AfterValidator(_known_form)]
PerMinute = Annotated[int, Field(ge=1)]


class Entry(Strict):
    key: KeyText = Field(repr=False)
    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)] | None = None
    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None

    @model_validator(mode="before")
    @classmethod
    def _key_alone(cls, entry: object) -> object:
        return {"key": entry} if isinstance(entry, str) else entry


FILE: TypeAdapter[list[Entry]] = TypeAdapter(Annotated[list[Entry], Field(min_length=1)])


def key_ring(settings: Settings) -> KeyRing:
    """Keys of the settings and of the key file, and the admin key.

    Raises:
        ConfigError: the key file cannot be used.
    """
    keys = [
        ApiKey(f"key {number}", digest_of(key.get_secret_value())) for number, key in enumerate(settings.api_key, 1)
    ]
    if settings.api_key_file is not None:
        keys += read_keys(settings.api_key_file)
    admin = settings.admin_api_key
    return KeyRing(keys, None if admin is None else ApiKey("admin", digest_of(admin.get_secret_value()), admin=True))


def read_keys(path: Path) -> list[ApiKey]:
    entries = read_yaml(path, FILE, secret=True)
    keys = [
        ApiKey(
            entry.name or f"entry {number}",
            read_digest(entry.key),
            entry.requests_per_minute,
            entry.tokens_per_minute,
        )
        for number, entry in enumerate(entries, 1)
    ]
    seen: dict[bytes, str] = {}
    for key in keys:
        if key.digest in seen:  # the limits of one of the two would silently be ignored
            raise ConfigError(f"{path}: {seen[key.digest]!r} and {key.name!r} are the same key")
        seen[key.digest] = key.name
    return keys


def new_entry(name: str | None, requests_per_minute: int | None, tokens_per_minute: int | None) -> tuple[str, str]:
    """A random key, and its line for the file.

    Raises:
        ConfigError: the file cannot have such a name.
    """
    if name is not None and not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise ConfigError(f"name={name[:MAX_NAME]!r}: must be 1 to {MAX_NAME} printable characters")
    key, stored = make_key()
    limits = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
    entry = {"key": stored, "name": name} | limits
    given = {field: value for field, value in entry.items() if value is not None}
    # JSON is YAML, and quotes whatever a printable name has in it; its escapes beyond 16 bits are none of YAML's.
    return key, "- " + json.dumps(given, ensure_ascii=False)
