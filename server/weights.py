"""Resolves a request's objective weights: which sources there are, and which of them wins.

The body comes first, then ``X-Objective-Weights``, the preset in the model name, the weights stored for the request's
user, and the server's default. A source replaces the whole map, it is never merged: a client that says ``{}`` gets the
plain model whatever the default is. And it is never skipped: stored weights that the server can no longer serve (their
value has been unloaded) are an error that says where they come from. Where nobody speaks, the operator's bounds may
still hold a weight; these are then the source.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import orjson

from mavis_core.api.bounds import check_number
from mavis_core.api.errors import InvalidRequestError, UnknownObjectiveError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo

HEADER = "X-Objective-Weights"
Source = Literal["body", "header", "preset", "preference", "default", "bounds", "none", "patch"]
# An ordinary decimal: float() alone would take "nan", "1_0" and other scripts' digits.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
MAX_OBJECTIVES_NAMED = 64


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights in force for one request and the source that won."""

    values: dict[str, float]
    source: Source


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources of a request's weights, the first one first; ``preference`` is called only if it counts."""

    body: Mapping[str, float] | None
    header: str | None
    preset: Mapping[str, float] | None
    preference: Callable[[], Awaitable[Mapping[str, float] | None]]
    default: Mapping[str, float]


async def resolve_weights(sources: Sources, objectives: Iterable[ObjectiveInfo]) -> Weights:
    """The first source that is present, checked against the loaded objectives and their ranges.

    A header is checked for form even if the body wins, so that a client learns of a malformed one.

    Raises:
        UnknownObjectiveError, InvalidRequestError; whatever ``sources.preference`` raises.
    """
    from_header = None if sources.header is None else parse_weights(sources.header, HEADER)
    if sources.body is not None:
        check_weights(sources.body, objectives)
        return Weights(dict(sources.body), "body")
    if from_header is not None:
        return _configured(from_header, "header", HEADER, HEADER, objectives)
    if sources.preset is not None:
        return _configured(sources.preset, "preset", "the preset", "model", objectives)
    stored = await sources.preference()
    if stored is not None:
        return _configured(stored, "preference", "what is stored for this user", "user", objectives)
    if sources.default:
        return _configured(sources.default, "default", "the server's default weights", None, objectives)
    return Weights({}, "none")


def _configured(
    weights: Mapping[str, float], source: Source, origin: str, param: str | None, objectives: Iterable[ObjectiveInfo]
) -> Weights:
    """Weights from outside the body; an error says where they come from."""
    try:
        check_weights(weights, objectives)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{origin}: {error}", param, error.code) from None
    return Weights(dict(weights), source)


def check_weights(weights: Mapping[str, float], objectives: Iterable[ObjectiveInfo]) -> None:
    known = {objective.name: objective for objective in objectives}
    unknown = [name for name in weights if name not in known]
    if unknown:
        raise UnknownObjectiveError([name[:80] for name in unknown[:8]], known)
    for name, weight in weights.items():
        check_number(f"objective_weights.{name}", weight, *known[name].weight_range)


def check_named(guidance: Guidance, known: Collection[str]) -> None:
    """Raises InvalidRequestError where floors and the like name what is no objective."""
    for field in ("floors", "maximise", "worst_case"):
        if unknown := [name for name in getattr(guidance, field) if name not in known]:
            raise InvalidRequestError(
                f"guidance.{field}: unknown objective {unknown[0][:80]!r}; known: {', '.join(sorted(known)) or 'none'}",
                f"guidance.{field}",
                "unknown_objective",
            )


def refuse_taken(brought: Iterable[str], objectives: Iterable[ObjectiveInfo]) -> None:
    """Raises InvalidRequestError where what is brought in words has the name of one of the server's objectives."""
    known = {objective.name for objective in objectives}
    for name in brought:
        if name in known:
            raise InvalidRequestError(
                f"objectives.{name}: this server has an objective of that name; choose another", f"objectives.{name}"
            )


def parse_weights(text: str, param: str) -> dict[str, float]:
    """``{"a": 0.7, "b": 0.3}`` or ``a=0.7,b=0.3``; blank is the empty map.

    Raises:
        InvalidRequestError: naming ``param``.
    """
    weights: dict[str, float]
    text = text.strip()
    if text.startswith("{"):
        try:
            weights = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InvalidRequestError(f"{param}: not JSON: {error.msg}", param) from None
    else:
        weights = {}
        for pair in filter(None, map(str.strip, text.split(","))):
            name, equals, number = (part.strip() for part in pair.partition("="))
            if not (name and equals and NUMBER.fullmatch(number)):
                raise InvalidRequestError(f"{param}: {pair[:80]!r} is not name=number", param)
            if name in weights:
                raise InvalidRequestError(f"{param}: {name[:80]!r} is given twice", param)
            weights[name] = float(number)
    if len(weights) > MAX_OBJECTIVES_NAMED:
        raise InvalidRequestError(f"{param} names {len(weights)} objectives: at most {MAX_OBJECTIVES_NAMED}", param)
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise InvalidRequestError(f"{param}: {name[:80]!r} must be a number", param)
    return weights
