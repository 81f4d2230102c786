"""The playground: ``/``, its static files under ``/playground/``, and the browser module at ``/mavis.js``.

The page is plain files of this package: no build step, nothing from another host, which its Content-Security-Policy
would block. It learns everything from the API, with the key that its user types, so the files themselves are open. They
carry no version in their names, therefore browsers ask each time and get a 304.

A route for ``/`` and a mount of its own, not a mount at ``/``: that one would swallow the 404 and 405 of the API.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FILES = Path(__file__).parents[1] / "playground"
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache",
}
# A page of any origin may import the module; whether it may call the API is decided elsewhere.
SHARED = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}


class PageFiles(StaticFiles):
    """Static files with our headers; Starlette refuses paths that lead out of the folder."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS | (SHARED if path.startswith("lib") else {}))
        return response


async def page() -> Response:
    return FileResponse(FILES / "index.html", media_type="text/html", headers=HEADERS)


async def module() -> Response:
    """A redirect to a relative address, which is right under any root path and for the module's own imports."""
    return RedirectResponse("playground/lib/mavis.js", headers=HEADERS | SHARED)


def install_playground(app: FastAPI) -> None:
    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/mavis.js", module, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/playground", PageFiles(directory=FILES / "static"), name="playground")
