"""The first thing done with every body: it is read, parsed, and what is left out of it is noted."""

from __future__ import annotations

from typing import TypeVar

from starlette.requests import Request as HttpRequest

from mavis_core.api.messages import EngineInfo
from server.http.body import read_json
from server.http.left_out import left_out_of
from server.protocol.fields import Tolerant
from server.requests.unknown_fields import note_unknown
from server.service import Service, service_of
from server.validation import parse

Body = TypeVar("Body", bound=Tolerant)


async def read_request(http: HttpRequest, kind: type[Body]) -> tuple[Service, EngineInfo, Body]:
    """The body as ``kind``, and what answers it; raises MavisError: it is not one, or nothing is loaded yet."""
    service = service_of(http)
    payload = await read_json(http, service.settings.max_body_bytes)
    info = service.ready_info()
    body = parse(kind, payload)
    note_unknown(http, body, payload)
    for name in body.unread():
        left_out_of(http).add(name)
    return service, info, body
