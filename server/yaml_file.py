"""Reads a YAML file of the operator into a checked model; errors name the file."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from mavis_core.api.errors import ConfigError

T = TypeVar("T")


class UniqueKeys(yaml.SafeLoader):
    """A loader that keeps YAML's rule, which PyYAML does not: a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} is given twice", node.start_mark)
        made: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return made


def read_yaml(path: Path, kind: TypeAdapter[T], *, secret: bool = False) -> T:
    """``path`` as ``kind``; ``secret`` keeps what the file says out of the message.

    Raises:
        ConfigError: naming the file and the place in it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, UniqueKeys)
        return kind.validate_python(content)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = "" if secret else f": {getattr(error, 'problem', None) or error}"
        raise ConfigError(f"{path}: not YAML{where}{problem}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {place}: {first['msg']}") from None
