"""Every error this project raises on purpose, in one tree.

    MavisError
    ├── InvalidRequestError        the request is wrong; nobody else is affected            400
    │   ├── ContextLengthError     prompt (+ min_tokens) longer than the model can hold     400
    │   └── UnknownObjectiveError  objective_weights names what is not loaded               400
    ├── QueueFullError             too many requests wait already; try again                429
    ├── RequestFailedError         the engine failed a request through no fault of its own  500
    ├── EngineUnavailableError     loading, draining or dead                                503
    ├── ConfigError                a setting, or a file that one names, is wrong; names the setting or the file
    ├── LoadError                  a model or value folder cannot be used; names the culprit
    ├── UnknownValueError          no value of that name is loaded                           404
    ├── UnknownRequestError        no request of that id is in flight                        404
    ├── ValueConflictError         a value is in use, or its name or an objective is taken   409
    ├── RewardError                a reward cannot be built, or failed on texts; names the reward
    └── RunError                   a training run cannot start or go on; names the key or file

A message says what was wrong, what was got and what is allowed: ``guidance.top_k=0: must be 1 to 256``.
``assert`` is kept for our own invariants. The HTTP status of each is given in one table, in ``server``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class MavisError(Exception):
    """Base of all errors raised on purpose. They go from process to process whatever their constructors take."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_it_was, (type(self), self.args), self.__dict__


def _as_it_was(kind: type[MavisError], arguments: tuple[Any, ...]) -> MavisError:
    return kind.__new__(kind, *arguments)


class InvalidRequestError(MavisError):
    """The request cannot be served as written.

    Args:
        message: what was wrong, what was got, what is allowed.
        param: the request field at fault in the client's own words, for example ``guidance.beta``.
        code: machine-readable reason, or None.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ContextLengthError(InvalidRequestError):
    """The prompt does not fit; ``at_least`` says that its tokens were not counted, because there are too many."""

    def __init__(self, prompt_tokens: int, limit: int, param: str = "messages", *, at_least: bool = False) -> None:
        counted = f"at least {prompt_tokens}" if at_least else f"{prompt_tokens}"
        super().__init__(
            f"the prompt has {counted} tokens: at most {limit} leave room for one answer token "
            f"in this model's context of {limit + 1}",
            param,
            "context_length_exceeded",
        )


class UnknownObjectiveError(InvalidRequestError):
    def __init__(self, names: Iterable[str], known: Iterable[str]) -> None:
        listed = ", ".join(sorted(known)) or "none are loaded"
        super().__init__(
            f"objective_weights: unknown objective {', '.join(repr(n) for n in names)}; known: {listed}",
            "objective_weights",
            "unknown_objective",
        )


class QueueFullError(MavisError):
    def __init__(self, taken: int, limit: int) -> None:
        super().__init__(f"{taken} choices are in flight, the limit is {limit}; try again shortly")


class RequestFailedError(MavisError):
    """The engine failed this request through no fault of the client; it goes on with others."""


class EngineUnavailableError(MavisError):
    """The engine cannot take requests now: it is loading, draining, or dead (the message says which)."""


class ConfigError(MavisError):
    """A setting is wrong, or does not go with another one or with this machine; the message names it."""


class LoadError(MavisError):
    """A policy or value folder cannot be used; the message names the file or field at fault."""


class UnknownValueError(MavisError):
    """No value of that name is loaded."""


class UnknownRequestError(MavisError):
    """No request of that id is in flight: there never was one, or it has ended."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"no request {request_id[:80]!r} is being answered: its id is wrong, or its answer has ended")


class ValueConflictError(MavisError):
    """A value cannot be loaded or unloaded as things are: it is in use, or a name is taken."""


class RewardError(MavisError):
    """A reward cannot be built, raised, or gave something else than one finite number per text."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"reward {name!r}: {message}")
        self.name = name


class RunError(MavisError):
    """A training run cannot start or go on; the message names the key or file at fault."""
