"""The playground: ``/``, its static files under ``/playground/``, and the browser module at ``/mavis.js``.

The page is plain files of this package: no build step, nothing from another host, which its Content-Security-Policy
would block. It learns everything from the API, with the key that its user types, so the files themselves are open. They
carry no version in their names, therefore browsers ask each time and get a 304. The page names all its modules, so that
a browser asks for them at once, and not for each when it has read the one that imports it.

A route for ``/`` and a mount of its own, not a mount at ``/``: that one would swallow the 404 and 405 of the API.
"""

from __future__ import annotations

import posixpath
import re
from functools import cache
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import HTMLResponse, RedirectResponse, Response
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


BEGINNING = "app/main.js"
IMPORT = re.compile(r"""^(?:import|export)\b.*?["'](\.\S+)["'];$""", re.MULTILINE)


class PageFiles(StaticFiles):
    """Static files with our headers; Starlette refuses paths that lead out of the folder."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS | (SHARED if path.startswith("lib") else {}))
        return response


@cache
def whole_page() -> str:
    page = (FILES / "index.html").read_text(encoding="utf-8")
    links = "".join(f'  <link rel="modulepreload" href="playground/{name}">\n' for name in modules())
    return page.replace("</head>", f"{links}</head>")


def modules() -> list[str]:
    """Files that the page's first module needs, itself first, as paths under ``static``."""
    found = [BEGINNING]
    for name in found:  # grows meanwhile
        for target in IMPORT.findall((FILES / "static" / name).read_text(encoding="utf-8")):
            needed = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            if needed not in found:
                found.append(needed)
    return found


async def page() -> Response:
    return HTMLResponse(whole_page(), headers=HEADERS)


async def module() -> Response:
    """A redirect to a relative address, which is right under any root path and for the module's own imports."""
    return RedirectResponse("playground/lib/mavis.js", headers=HEADERS | SHARED)


def install_playground(app: FastAPI) -> None:
    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/mavis.js", module, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/playground", PageFiles(directory=FILES / "static"), name="playground")
