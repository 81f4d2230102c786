"""A reward that is somebody's Python function, by import path ``package.module:callable``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mavis_core.api.errors import RewardError
from value_models.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Imported:
    """``function(prompts, responses) -> one number per response``."""

    name: str
    description: str
    function: Callable[[Sequence[Prompt], Sequence[str]], Sequence[float]]

    @classmethod
    def load(cls, name: str, description: str, path: str) -> Imported:
        """Import what ``path`` names.

        Raises:
            RewardError: naming the reward and the part of the path that does not resolve.
        """
        module, colon, attribute = path.partition(":")
        if not (module and colon and attribute):
            raise RewardError(name, f"function={path!r}: must be 'package.module:callable'")
        try:
            found: Any = importlib.import_module(module)
        except Exception as error:  # importing runs the module, which may raise anything
            raise RewardError(name, f"function={path!r}: importing {module} raised {error!r}") from error
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise RewardError(name, f"function={path!r}: {found!r} has no {part!r}")
            found = getattr(found, part)
        if not callable(found):
            raise RewardError(name, f"function={path!r}: is a {type(found).__name__}, not a callable")
        return cls(name, description or (found.__doc__ or path).strip().splitlines()[0], found)

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Sequence[float]:
        return self.function(prompts, responses)
