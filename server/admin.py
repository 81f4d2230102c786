"""Restricts a route to the holder of the admin key, by ``dependencies=[Depends(require_admin)]``.

Off unless ``--admin-api-key`` is set. The admin key is sent like any other, as the bearer token, and opens everything
that an ordinary key opens.
"""

from __future__ import annotations

from starlette.requests import Request

from server.errors import AdminOnlyError
from server.http.auth import caller_of
from server.service import service_of


async def require_admin(http: Request) -> None:
    """Raises AdminOnlyError unless the caller holds the admin key."""
    if caller_of(http).admin:
        return
    if service_of(http).keys.has_admin:
        raise AdminOnlyError("this needs the admin key: send 'Authorization: Bearer <admin key>'")
    raise AdminOnlyError("this needs an admin key, and the server has none: start it with --admin-api-key")
