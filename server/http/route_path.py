"""A request's path in the form of our routes."""

from __future__ import annotations

from starlette.types import Scope


def route_path(scope: Scope) -> str:
    """The path without the ``root_path`` that the HTTP server puts in front, as Starlette compares it with routes."""
    path: str = scope["path"]
    rest = path.removeprefix(scope.get("root_path", ""))
    return rest if rest == "" or rest.startswith("/") else path
