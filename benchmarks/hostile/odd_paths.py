"""Every route and method of the OpenAPI document, with paths spelled as nobody spells them."""

from __future__ import annotations

from typing import Any

from benchmarks.hostile.attack import ADMIN, JSON, Attack, dump, http
from benchmarks.hostile.from_schema import VALID

PAGE = ("/", "/mavis.js", "/playground/", "/playground/app.js")  # served, and not in the document
OTHER_METHODS = ("HEAD", "OPTIONS", "PATCH")
ENDS = (
    "%0a", "%0d", "%0d%0a", "%00", "%09", "%20", "%7f", "%", "%z", "%ff", "%c3%28", "%ed%a0%80", "%2f", "%3f", "%23",
    "/", "//", "/.", "/..", "/%2e%2e", "/%0a", ";a=b", "?%0a=%00", "?" + "a" * 20_000, "#a", "/" + "a" * 20_000, "\xff",
)  # fmt: skip
STARTS = ("/", "/.", "/..", "/%2e", "/%0a", "/%00", "http://other.example")
WITHIN = ("//", "/./", "%2f", "/%0a")
NAMES = ("a%0a", "%0a", "%0d%0ax-injected:%201", "%00", "..", "%2e%2e", "%ff", "%80", "\xff", "a" * 20_000, "%25")


def spellings(route: str) -> list[str]:
    """Of a path whose parameters are in braces."""
    head, brace, _ = route.partition("{")
    path = head + "none" if brace else route
    found = [path + end for end in ENDS] + [start + path for start in STARTS]
    found += [path[:1] + path[1:].replace("/", within) for within in WITHIN if "/" in path[1:]]
    return found + [path.upper()] + ([head + name for name in NAMES] if brace else [])


def odd_paths(document: dict[str, Any]) -> list[Attack]:
    """As the admin, so that what is behind the routes is reached.

    Args:
        document: the server's OpenAPI document.
    """
    routes: dict[str, list[str]] = {route: ["GET"] for route in PAGE}
    routes |= {route: [method.upper() for method in methods] for route, methods in document["paths"].items()}
    headers = {**JSON, "authorization": f"Bearer {ADMIN}"}
    found = []
    for route, methods in routes.items():
        body = dump(VALID.get(route, {"objective_weights": {"cheerful": 1}}))
        for path in spellings(route):
            for method in (*methods, *OTHER_METHODS):
                sent = body if method in ("POST", "PUT", "PATCH") else b""
                found.append(http(f"odd path: {method} {route}", path, sent, method, headers))
    return found
