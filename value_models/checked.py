"""Plain data, from YAML or JSON, as dataclasses: unknown and missing keys and wrong types are errors that name the key.

Of our own because values must load, and be trained, where pydantic is not installed (docs/decisions.md).
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mavis_core.api.errors import MavisError, RunError


def read(cls: type[Any], data: Any, where: str) -> Any:
    """An instance of the dataclass ``cls``.

    Args:
        data: a mapping of its fields; fields with defaults may be absent.
        where: what to call it in messages, "" for the top.

    Raises:
        RunError: naming the key, what was got and what is allowed.
    """
    if not isinstance(data, Mapping):
        raise RunError(f"{where or 'the file'}: must be a mapping of settings, got {data!r}")
    hints, dot = get_type_hints(cls), f"{where}." if where else ""
    for key in data:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, 1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise RunError(f"{dot}{key}: unknown key; {meant}known: {', '.join(hints)}")
    needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in needed if name not in data]:
        raise RunError(f"{dot}{missing[0]}: is missing")
    values = {key: _value(hints[key], value, f"{dot}{key}") for key, value in data.items()}
    try:
        return cls(**values)
    except RunError:
        raise
    except MavisError as error:  # a dataclass of another layer refuses a value in its own words
        raise RunError(f"{where}: {error}" if where else str(error)) from error


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _first(inner, value, where)
    if origin is Literal:
        if value not in inner:
            raise RunError(f"{where}={value!r}: must be one of {', '.join(map(repr, inner))}")
        return value
    if is_dataclass(hint):
        return read(typing.cast(type[Any], hint), value, where)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise RunError(f"{where}: must be a mapping from names, got {value!r}")
        return {key: _value(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise RunError(f"{where}: must be a list, got {value!r}")
        return origin(_items(inner, value, where))
    if hint is Any:
        return value
    if hint is float and (type(value) is int or _is_exponential(value)):
        return float(value)
    if type(value) is not hint or value != value:  # bool is no int, and nan nothing
        raise RunError(f"{where}={value!r}: must be of type {hint.__name__}")
    return value


def _items(hints: tuple[Any, ...], values: list[Any], where: str) -> list[Any]:
    """Of ``list[X]`` and ``tuple[X, ...]`` any number, of ``tuple[X, Y]`` two."""
    each = hints if len(hints) > 1 and hints[1] is not ... else hints[:1] * len(values)
    if len(values) != len(each):
        raise RunError(f"{where}={values!r}: must be a list of {len(each)}")
    return [_value(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(each, values, strict=True))]


def _is_exponential(value: Any) -> bool:
    """Numbers like 1e-4, which YAML 1.1 reads as text for want of a point."""
    return isinstance(value, str) and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", value) is not None


def _first(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    """The first of several types that fits; None only where it is one of them."""
    if value is None and type(None) in hints:
        return None
    others = [hint for hint in hints if hint is not type(None)]
    if len(others) == 1:
        return _value(others[0], value, where)
    for hint in others:
        if is_dataclass(hint) and isinstance(value, Mapping):
            return read(typing.cast(type[Any], hint), value, where)
        if type(value) is hint:
            return value
    allowed = " or ".join("mapping" if is_dataclass(hint) else hint.__name__ for hint in others)
    raise RunError(f"{where}={value!r}: must be of type {allowed}")
