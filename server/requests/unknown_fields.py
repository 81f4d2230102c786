"""Fields of a request that its models do not have: left out and named, or refused.

What we were not asked to understand does not fail a request; what would silently do something else than asked does. So
an unknown key in an echoed message is left out, and a misspelt steering field, or one in the wrong place, is refused.
``--unknown-fields refuse`` refuses all of them.

One walk over what was sent beside what was read of it, for all models: which alternative of a union was read is known
only then.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel
from starlette.requests import Request

from mavis_core.api.errors import InvalidRequestError
from server.http.left_out import left_out_of
from server.protocol.fields import Skipped
from server.protocol.steered_request import OTHER_WORDS, STEERING
from server.service import service_of
from server.text.rendering import Rendering

MAX_UNKNOWN = 256  # different ones in a body: each is compared with what it may have been meant to be
MAX_SHOWN = 80
MIXED = 8  # items of a list of which one is a model if any is: there may be plain text among them, or a million tokens
LIKE = 0.8  # difflib's ratio from which on a name is a misspelt one of ours
LIKE_ANY = 0.7  # where every unknown field is refused anyway, and this is only a hint


class Unknown(NamedTuple):
    """``at``: where the object with the field is, ``messages[3]``; ``place``: the same of any item, ``messages[]``."""

    at: str
    place: str
    key: str
    value: object
    owner: type[BaseModel]


def note_unknown(http: Request, body: BaseModel, payload: Mapping[str, Any]) -> None:
    """Leave out of the request what ``body``, which was read from ``payload``, does not have.

    Raises:
        InvalidRequestError: naming a field that looks like one of ours, or any where all are refused.
    """
    refuse = service_of(http).settings.unknown_fields == "refuse"
    steers = set(STEERING) <= set(type(body).model_fields)
    left_out = left_out_of(http)
    told: dict[tuple[str, str], bool] = {}  # those that were seen, and whether they are named already
    for unknown in unknown_fields(body, payload):
        name = (unknown.place, unknown.key)
        if name not in told:
            told[name] = False
            if len(told) > MAX_UNKNOWN:
                raise InvalidRequestError(f"the body has more than {MAX_UNKNOWN} different unknown fields")
            meant = _meant(unknown) if steers else None
            if refuse or meant:
                raise _refusal(unknown, meant or _like_any(unknown))
        if unknown.value is not None and not told[name]:  # null asks for nothing
            told[name] = True
            left_out.add(_joined(*name))


def _refusal(unknown: Unknown, meant: str | None) -> InvalidRequestError:
    param = _joined(unknown.at, unknown.key[:MAX_SHOWN])
    return InvalidRequestError(f"unknown field {param!r}" + (f"; did you mean {meant!r}?" if meant else ""), param)


def note_unused(http: Request, rendering: Rendering) -> None:
    """Leave out the template's variables that the template does not have."""
    for name in service_of(http).prompts.unused(rendering):
        left_out_of(http).add(f"chat_template_kwargs.{name}")


def unknown_fields(body: BaseModel, payload: Mapping[str, Any], at: str = "", place: str = "") -> Iterator[Unknown]:
    """Every field of ``payload`` that the models which were read from it do not have.

    An item that is left out whole counts as one: ``type=`` and what it is.
    """
    fields = _fields(type(body))
    for key, value in payload.items():
        name = fields.get(key)
        if name is None:
            yield Unknown(at, place, key, value, type(body))
            continue
        read = getattr(body, name)
        inside, of_any = _joined(at, key), _joined(place, key)
        if isinstance(read, BaseModel) and isinstance(value, dict):
            yield from unknown_fields(read, value, inside, of_any)
        elif isinstance(read, list) and any(isinstance(item, BaseModel) for item in read[:MIXED]):
            for i, (one, sent) in enumerate(zip(read, value, strict=False)):
                if isinstance(one, Skipped):
                    yield Unknown(f"{inside}[{i}]", f"{of_any}[]", f"type={one.type}", one.type, Skipped)
                elif isinstance(one, BaseModel) and isinstance(sent, dict):
                    yield from unknown_fields(one, sent, f"{inside}[{i}]", f"{of_any}[]")


@cache
def _fields(model: type[BaseModel]) -> dict[str, str]:
    """Name in requests -> name of the attribute."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


def _meant(unknown: Unknown) -> str | None:
    """The steering field that this one was probably meant to be."""
    plain = unknown.key.replace("-", "_").lower()
    if len(plain) > MAX_SHOWN:
        return None
    if close := difflib.get_close_matches(plain, STEERING, 1, LIKE):
        return close[0]
    if not unknown.at and plain in OTHER_WORDS:
        return OTHER_WORDS[plain]
    if isinstance(unknown.value, dict):  # extra_body, say, which the official client would have unpacked
        return next((name for name in STEERING if name in unknown.value), None)
    return None


def _like_any(unknown: Unknown) -> str | None:
    if len(unknown.key) > MAX_SHOWN:
        return None
    return next(iter(difflib.get_close_matches(unknown.key, _fields(unknown.owner), 1, LIKE_ANY)), None)


def _joined(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
