"""A request's path as routes are written."""

from __future__ import annotations

from starlette.types import Scope


def route_path(scope: Scope) -> str:
    """Without the ``root_path`` that the HTTP server puts in front: what Starlette compares with its routes."""
    path: str = scope["path"]
    rest = path.removeprefix(scope.get("root_path", ""))
    return rest if rest == "" or rest.startswith("/") else path
