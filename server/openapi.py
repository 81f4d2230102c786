"""The OpenAPI document: every status that an endpoint can answer, and the request models that it really parses.

Bodies are parsed by ``server.http.body`` and not by FastAPI, so FastAPI does not see the request models; they are added
here, and its own 422 (which we never send) is taken out. A test with schemathesis checks the app against the result.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from server.protocol.answers import ErrorAnswer

COMPONENT = "#/components/schemas/{model}"


def errors(*statuses: int, model: type[BaseModel] = ErrorAnswer) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a route: these statuses and 500, in ``model``'s shape; 401 joins where keys are set."""
    return {s: {"model": model, "description": HTTPStatus(s).phrase} for s in (*statuses, 500)}


def body_of(*models: type[BaseModel]) -> dict[str, Any]:
    """``openapi_extra=`` of a route that reads one of ``models``."""
    refs = [{"$ref": COMPONENT.format(model=model.__name__)} for model in models]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def streamed(model: Any, data: str = "a chunk as JSON; the last is [DONE]") -> dict[int | str, dict[str, Any]]:
    """The 200 of a generating route: one ``model`` (several are written with | between them), or the same in pieces as
    server-sent events (``itemSchema`` is OpenAPI 3.2's word for the schema of one event, as FastAPI itself uses it)."""
    told = {"type": "string", "description": data}
    events = {"itemSchema": {"type": "object", "properties": {"data": told}, "required": ["data"]}}
    return {200: {"model": model, "content": {"text/event-stream": events}, "description": "The answer"}}


def install_openapi(
    app: FastAPI, request_models: list[type[BaseModel]], keyed: bool, open_paths: frozenset[str], closed: bool = False
) -> None:
    """Serve the document at ``/openapi.json``, made and encoded once; ``closed``: unknown fields are refused."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, definitions = models_json_schema(
                [(model, "validation") for model in request_models], ref_template=COMPONENT
            )
            schemas = made["components"]["schemas"]
            closing = {"additionalProperties": False} if closed else {}
            schemas |= {name: schema | closing for name, schema in definitions["$defs"].items()}
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            for path, operations in made["paths"].items():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    if keyed and path not in open_paths:
                        _require_key(operation)
            if keyed:
                made["components"]["securitySchemes"] = {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                }
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]

    @lru_cache(maxsize=1)
    def encoded(root: str) -> bytes:
        servers = {"servers": [{"url": root}]} if root else {}
        return orjson.dumps(document() | servers)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi_json(request: Request) -> Response:
        """The document, encoded once: it is long, and anybody may ask for it often."""
        return Response(encoded(request.scope.get("root_path", "").rstrip("/")), media_type="application/json")


def _require_key(operation: dict[str, Any]) -> None:
    operation["security"] = [{"bearer": []}, {"x-api-key": []}]
    shape = operation["responses"]["500"]["content"]
    operation["responses"]["401"] = {"description": "Unauthorized", "content": shape}
