"""Parses a payload into a request model, and turns pydantic's findings into one sentence that names the field.

The deepest of several findings is reported: in a union (``content`` is text or a list of parts) it belongs to the
alternative that the client meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mavis_core.api.errors import InvalidRequestError
from server.protocol.fields import MAX_FIELDS, EmptyList, Refused

M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]
MAX_FINDINGS = 500
MAX_SHOWN = 80  # characters of a name or a value; a longer name is no misspelt field
# Findings that say more than the "extra field" and "missing field" beside them.
TELLING = ("literal_error", "none_required", "too_long")


def parse(model: type[M], payload: Mapping[str, Any]) -> M:
    """``payload`` as ``model``.

    Raises:
        InvalidRequestError: naming the field, what was got and what is allowed.
    """
    if len(payload) > MAX_FIELDS:
        raise InvalidRequestError(f"the body has {len(payload)} fields: at most {MAX_FIELDS}")
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        if error.error_count() > MAX_FINDINGS:  # a hostile body: describing every finding would hold up all requests
            raise InvalidRequestError(f"the body is wrong in {error.error_count()} places") from None
        findings = [(_path(e, payload), e) for e in error.errors(include_url=False)]
    path, worst = max(findings, key=lambda finding: (len(finding[0]), finding[1]["type"] in TELLING))
    param = _spell(path)
    allowed = [_allowed(e["msg"]) for p, e in findings if p == path]
    raise InvalidRequestError(_sentence(model, param, path, worst, " or ".join(dict.fromkeys(allowed))), param)


def _allowed(message: str) -> str:
    """A pydantic message without the names of our classes."""
    return message.removeprefix("Input should be ").removeprefix("a valid ").partition(" or instance of ")[0]


def _path(error: ErrorDetails, payload: Mapping[str, Any]) -> Path:
    """The error's location without pydantic's names for the alternatives of a union."""
    path: list[str | int] = []
    here: Any = payload
    for part in error["loc"]:
        if _holds(here, part):
            here = here[part]
            path.append(part)
        elif error["type"] == "missing" and part == error["loc"][-1]:
            path.append(part)
    return tuple(path)


def _holds(here: Any, part: str | int) -> bool:
    """Whether ``part`` is a key or an index of ``here``; what a list of fixed length lacks is not."""
    if isinstance(here, list):
        return isinstance(part, int) and part < len(here)
    return isinstance(here, Mapping) and part in here


def _spell(path: Path) -> str:
    """``("messages", 0, "role")`` -> ``messages[0].role``."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p[:MAX_SHOWN]}" for p in path).removeprefix(".")


def _sentence(model: type[BaseModel], param: str, path: Path, error: ErrorDetails, allowed: str) -> str:
    kind, got = error["type"], error.get("input")
    owner = _owner(model, path)
    if kind == "extra_forbidden":
        name = str(path[-1])
        close = difflib.get_close_matches(name, owner.model_fields, 1, 0.7) if len(name) <= MAX_SHOWN else []
        return f"unknown field {param!r}" + (f"; did you mean {close[0]!r}?" if close else "")
    if kind == "missing":
        return f"{param} is required"
    if kind == "text_only":
        asked = got.get("type") if isinstance(got, Mapping) else got
        return f"{param} is {_short(asked)}: the model reads text only"
    if _is_refused(owner, path[-1]):
        return f"{param} is not supported by this server: leave it out"
    if kind == "literal_error":
        return f"{param}={_short(got)}: only {error['ctx']['expected']} is supported"
    if kind == "union_tag_invalid":
        return f"{param}.type={_short(error['ctx']['tag'])}: only {error['ctx']['expected_tags']} is supported"
    if kind == "string_pattern_mismatch":
        return f"{param}={_short(got)}: must match {error['ctx']['pattern']}"
    if kind in ("too_long", "too_short", "string_too_long", "string_too_short"):
        return f"{param}: {error['msg'][0].lower()}{error['msg'][1:]}"
    return f"{param}={_short(got)}: must be {allowed}"


def _owner(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """The model that the last step of ``path`` is a field of."""
    for step in path[:-1]:
        if isinstance(step, str) and step in model.model_fields:
            model = next(_models(model.model_fields[step].annotation), model)
    return model


def _models(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _is_refused(owner: type[BaseModel], name: str | int) -> bool:
    field = owner.model_fields.get(str(name))
    if field is None:
        return False
    return field.annotation in (type(None), EmptyList, EmptyList | None, Refused)


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return "{...}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[...]"
    return repr(value[:MAX_SHOWN] if isinstance(value, str) else value)[:MAX_SHOWN]
