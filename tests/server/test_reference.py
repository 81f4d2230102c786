"""``/docs``: all of the OpenAPI document, and nothing that a browser would have to fetch or run."""

from __future__ import annotations

import re
from base64 import b64decode
from hashlib import sha256

import httpx
import pytest

from server.reference import kind_of
from tests.server.conftest import app_client


async def test_it_has_every_endpoint_field_and_range(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    document = (await client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        assert f"<code>{path}</code>" in page.text
        for method in methods:
            assert f'<span class="method">{method.upper()}</span>' in page.text
    for name, schema in document["components"]["schemas"].items():
        assert f'<details id="{name}">' in page.text
        for field in schema.get("properties", ()):
            assert f"<td><code>{field}</code>" in page.text
    assert "number or null, from 0, to 64" in page.text, "beta"
    anchors = set(re.findall(r'href="#(\w+)"', page.text))
    assert anchors and anchors <= document["components"]["schemas"].keys()


async def test_it_needs_no_other_host_and_no_script_and_no_key() -> None:
    async with app_client(api_key="some-key-0123456789", playground=False) as client:
        page = await client.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    (allowed,) = re.findall(r"style-src 'sha256-([^']+)'", policy)
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert b64decode(allowed) == sha256(style.encode()).digest()
    assert policy.startswith("default-src 'none'")
    assert "<script" not in page.text and "://" not in page.text and "style=" not in page.text
    assert set(re.findall(r'href="([^#"]*)"', page.text)) == {"openapi.json"}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string", "maxLength": 9}, "string, up to 9 characters"),
        ({"enum": ["a", "b"]}, "&#39;a&#39;, &#39;b&#39;"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/X"}}, 'list of <a href="#X">X</a>'),
        ({"type": "object", "additionalProperties": {"type": "number", "minimum": -1}}, "map to number, from -1"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"const": "<b>"}, "&#39;&lt;b&gt;&#39;"),
        ({}, "anything"),
    ],
)
def test_a_schema_in_words(schema: dict[str, object], said: str) -> None:
    assert kind_of(schema) == said
