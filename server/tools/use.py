"""Which tools a request has and which of them must be called: the endpoints' several forms as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.structure import Structure

# OpenAI's names and what tool servers add: dots, slashes, colons. Nothing that JSON or a grammar would have to escape.
TOOL_NAME = r"[a-zA-Z0-9_.:/-]{1,128}"
Mode = Literal["none", "auto", "required", "named"]
NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class Constraint:
    """A structure and the field that asked for it, in the client's words.

    Attributes:
        relaxed: what it leaves out of that.
        looser: what is left of it where the engine refuses the structure; raises InvalidRequestError, in the client's
            words, where nothing may be let go.
    """

    structure: Structure
    field: str
    relaxed: tuple[str, ...] = ()
    looser: Callable[[InvalidRequestError], Constraint] | None = None


def in_clients_words(error: InvalidRequestError, field: str) -> InvalidRequestError:
    """``error`` with the client's ``field`` in place of "structure", the engine's only name for structures."""
    if (error.param or "").partition(".")[0] != "structure":
        return error
    message = str(error).removeprefix("structure").removeprefix(":").strip()
    return InvalidRequestError(f"{field}: {message}", field, error.code)


@dataclass(frozen=True, slots=True)
class Function:
    """``parameters``: JSON schema of its arguments' object; None is a function without any.

    ``strict``: what of the schema cannot be held to is refused. ``at``: where it stands in the request, and
    ``schema_field``: what its schema is called there.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool = False
    at: str = "tools[]"
    schema_field: str = "parameters"

    @property
    def schema_at(self) -> str:
        return f"{self.at}.{self.schema_field}"

    @property
    def schema(self) -> Mapping[str, Any]:
        return NO_PARAMETERS if self.parameters is None else self.parameters

    def definition(self) -> dict[str, Any]:
        """The definition that chat templates and Hermes' system prompt show."""
        described = {} if self.description is None else {"description": self.description}
        return {"type": "function", "function": {"name": self.name, **described, "parameters": dict(self.schema)}}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """Attributes:
    mode: "none" calls nothing, "auto" calls or answers, "required" calls, "named" calls the one allowed.
    functions: what the model is shown.
    allowed: those of them that it may call.
    parallel: more than one call in an answer.
    """

    mode: Mode = "none"
    functions: tuple[Function, ...] = ()
    allowed: tuple[Function, ...] = ()
    parallel: bool = True

    @classmethod
    def of(
        cls, functions: Sequence[Function], mode: Mode | None, names: Sequence[str] | None, parallel: bool | None
    ) -> ToolUse:
        """A request's choice, checked.

        Args:
            mode: None is "auto" where there are tools, else "none".
            names: functions that may be called; None is all of them.

        Raises:
            InvalidRequestError.
        """
        known: dict[str, Function] = {}
        for function in functions:
            if function.name in known:
                raise InvalidRequestError(
                    f"{function.at}.name={function.name!r}: is given twice", f"{function.at}.name"
                )
            known[function.name] = function
        mode = mode or "auto"
        if mode == "none" or (mode == "auto" and not known):
            return cls()
        if not known:
            raise InvalidRequestError("tool_choice: only allowed where tools are given", "tool_choice")
        unknown = [name for name in names or () if name not in known]
        if unknown:
            raise InvalidRequestError(f"tool_choice: {unknown[0]!r} is none of: {', '.join(known)}", "tool_choice")
        allowed = [known[name] for name in dict.fromkeys(names or known)]
        return cls(mode, tuple(known.values()), tuple(allowed), parallel is not False)
