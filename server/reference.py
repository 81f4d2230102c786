"""``/docs``: the OpenAPI document as a page to read, whole as it is sent: no script, no other host.

FastAPI's own pages load megabytes of scripts from elsewhere. What people look up is which fields there are, of what
type and in which range, and that is a table.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from jinja2 import Environment
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

PAGE = Path(__file__).parent / "playground" / "reference.html"
RANGE = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "maxLength": "up to {} characters"}
RANGE |= {"maxItems": "up to {} items", "maxProperties": "up to {} entries"}


def install_reference(app: FastAPI) -> None:
    source = PAGE.read_text(encoding="utf-8")
    style = source[source.index("<style>") + len("<style>") : source.index("</style>")]
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    headers = {
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; "
        "frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }

    @cache
    def page() -> str:
        document, template = app.openapi(), Environment(autoescape=True).from_string(source)
        return template.render(info=document["info"], operations=_operations(document), objects=_objects(document))

    @app.get("/docs", include_in_schema=False)
    async def reference() -> Response:
        """The page, made once: it is long, and anybody may ask for it often."""
        return HTMLResponse(page(), headers=headers)


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            bodies = operation.get("requestBody", {}).get("content", {}).values()
            yield {
                "method": method.upper(),
                "path": path,
                "summary": operation.get("summary", ""),
                "parameters": [
                    {"name": one["name"], "place": one["in"], "kind": kind_of(one["schema"])}
                    for one in operation.get("parameters", ())
                ],
                "body": Markup(" or ").join(kind_of(body["schema"]) for body in bodies),
                "answers": [(status, _answer(told)) for status, told in operation["responses"].items()],
            }


def _answer(told: dict[str, Any]) -> Markup:
    kinds = [kind_of(content["schema"]) for content in told.get("content", {}).values() if content.get("schema")]
    return Markup(", ").join([escape(told["description"]), *kinds])


def _objects(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", ())
        yield {
            "name": name,
            "description": schema.get("description", ""),
            "fields": [
                {
                    "name": field,
                    "required": field in required,
                    "kind": kind_of(one),
                    "description": one.get("description", ""),
                }
                for field, one in schema.get("properties", {}).items()
            ],
        }


def kind_of(schema: dict[str, Any]) -> Markup:
    """A schema in a few words, with links to the objects in it."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return Markup('<a href="#{0}">{0}</a>').format(name)
    bounds = [escape(said.format(schema[key])) for key, said in RANGE.items() if key in schema]
    alternatives = [one for key in ("anyOf", "oneOf") for one in schema.get(key, ())]
    if alternatives:
        kind = Markup(" or ").join(kind_of(one) for one in alternatives)
    elif "const" in schema or "enum" in schema:
        kind = escape(", ".join(map(repr, schema.get("enum", [schema.get("const")]))))
    elif schema.get("type") == "array":
        kind = Markup("list of {}").format(kind_of(schema.get("items", {})))
    elif schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        kind = Markup("map to {}").format(kind_of(schema["additionalProperties"]))
    else:
        kind = escape(schema.get("type", "anything"))
    return Markup(", ").join([kind, *bounds])
