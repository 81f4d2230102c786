"""Types of settings that are written as text, on the command line or in a variable: how that is read and checked.

Everything here says what is wrong by ValueError, which pydantic gathers; ``loading`` says whose value it was.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, SecretStr

from mavis_core.api.errors import InvalidRequestError
from server.weights import parse_weights
from server.wire.descriptors import connections_that_fit

MIN_ADMIN_KEY = 16
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
ALLOWED_HOST = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:]+(\.[0-9]+)*")


def comma_separated(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: it may resolve to anything
        return False


def default_database() -> SecretStr:
    """A file where the XDG base directory specification wants state that survives restarts.

    A user without a home gets the system's place; whether it can be written to, the first write will tell.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    home = Path(os.path.expanduser("~"))
    base = state if state.is_absolute() else home / ".local" / "state" if home.is_absolute() else Path("/var/lib")
    return SecretStr(f"sqlite:///{base / 'mavis' / 'mavis.db'}")


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.startswith("["):  # vLLM's way to write its lists of origins, methods and headers
        try:
            return tuple(orjson.loads(value))
        except orjson.JSONDecodeError as error:
            raise ValueError(f"begins like a JSON list and is none: {error.msg}") from None
    return comma_separated(value)


def _weights(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_weights(value, "weights")
    except InvalidRequestError as error:
        raise ValueError(str(error).removeprefix("weights: ")) from None


def _keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    stripped = [key.get_secret_value().strip() for key in keys]  # as what a client sends is
    if not all(stripped):
        raise ValueError("a key is empty")
    return tuple(map(SecretStr, stripped))


def _admin_key(key: SecretStr) -> SecretStr:
    stripped = key.get_secret_value().strip()
    if len(stripped) < MIN_ADMIN_KEY:
        raise ValueError(f"must have at least {MIN_ADMIN_KEY} characters; 'mavis key' makes one")
    return SecretStr(stripped)


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise ValueError("must be a folder that exists")
    return folder


def _objectives(sources: tuple[str, ...]) -> tuple[str, ...]:
    for source in sources:
        if source in ("auto", "none") and len(sources) > 1:
            raise ValueError(f"{source!r} stands alone")
        if source not in ("auto", "none", "shipped") and not Path(source).expanduser().is_file():
            raise ValueError(f"{source!r}: must be auto, none, shipped or a YAML file")
    return sources


def _values(sources: tuple[str, ...]) -> tuple[str, ...]:
    if "none" in sources and len(sources) > 1:
        raise ValueError("'none' stands alone")
    return sources


def _connections(count: int) -> int:
    if count > connections_that_fit():
        raise ValueError(f"at most {connections_that_fit()} fit the limit of file descriptors (ulimit -n)")
    return count


def _hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not ALLOWED_HOST.fullmatch(name):
            raise ValueError(f"{name!r}: must be a name or address without port, *.name, or *")
    return names


def _database(address: SecretStr) -> SecretStr:
    from server.stored.database import parse_url  # SQLAlchemy takes a second to import, and help need not wait for it

    parse_url(address.get_secret_value())
    return address


def _root_path(path: str) -> str:
    if path and not ROOT_PATH.fullmatch(path):
        raise ValueError("must begin with a slash and not end with one, for example /mavis")
    return path


TextList = Annotated[tuple[str, ...], BeforeValidator(_split)]
KeyList = Annotated[tuple[SecretStr, ...], BeforeValidator(_split), AfterValidator(_keys)]
ObjectiveSources = Annotated[TextList, AfterValidator(_objectives)]
ValueSources = Annotated[TextList, AfterValidator(_values)]
HostList = Annotated[TextList, AfterValidator(_hosts)]
AdminKey = Annotated[SecretStr, AfterValidator(_admin_key)]
WeightMap = Annotated[dict[str, float], BeforeValidator(_weights)]
Folder = Annotated[Path, AfterValidator(_folder)]
Connections = Annotated[int, AfterValidator(_connections)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]
RootPath = Annotated[str, AfterValidator(_root_path)]
