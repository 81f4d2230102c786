"""``/v1/values``: who may, what is answered, and that the lists follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from tests.server.conftest import USER, make_app
from tests.server.fake_engine import FakeEngine

ADMIN = "admin-key-0123456789"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}


def connect(engine: FakeEngine, **settings: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_app(engine, **settings), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://t")


@pytest.fixture
def values(tmp_path: Path) -> Path:
    for name in ("polite", "unfit"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(b"")
    return tmp_path


@pytest.fixture
async def admin(engine: FakeEngine, values: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(engine, admin_api_key=ADMIN, values_dir=values) as client:
        client.headers.update(AS_ADMIN)
        yield client


async def load(client: httpx.AsyncClient, source: Any) -> Any:
    return await client.post("/v1/values", json={"source": source})


async def test_load_use_and_unload(admin: httpx.AsyncClient, engine: FakeEngine) -> None:
    before = (await admin.get("/v1/values")).json()
    assert before["data"] == [
        {"name": "fake-value", "object": "value", "kind": "head", "objectives": ["cheerful", "concise"]}
    ]
    answer = await load(admin, "polite")
    assert answer.status_code == 200
    polite = {"name": "polite", "object": "value", "kind": "lm", "objectives": ["polite"]}
    assert answer.json() == {"object": "list", "data": [*before["data"], polite]}
    names = [card["name"] for card in (await admin.get("/v1/objectives")).json()["data"]]
    assert names == ["cheerful", "concise", "polite"]
    body = {"messages": USER, "max_tokens": 2, "objective_weights": {"polite": 1}}
    assert (await admin.post("/v1/chat/completions", json=body)).status_code == 200
    assert 'mavis:requests_by_objective_total{objective="polite"} 1.0' in (await admin.get("/metrics")).text
    answer = await admin.delete("/v1/values/polite")
    assert (answer.status_code, answer.json()) == (200, {"id": "polite", "object": "value.deleted", "deleted": True})
    assert (await admin.get("/v1/values")).json() == before
    refused = await admin.post("/v1/chat/completions", json=body)
    assert refused.json()["error"]["code"] == "unknown_objective"


async def test_refusals(admin: httpx.AsyncClient, engine: FakeEngine) -> None:
    await load(admin, "polite")
    using = engine.generate(Request("somebody", (1,), SamplingParams(), Guidance({"polite": 1.0})))
    await anext(using)
    cases = [
        (await load(admin, "polite"), 409, "value_conflict", None),
        (await load(admin, "unfit"), 400, "value_refused", "source"),
        (await load(admin, "missing"), 400, None, "source"),
        (await load(admin, "../polite"), 400, None, "source"),
        (await load(admin, 7), 400, None, "source"),
        (await admin.post("/v1/values", json={"source": "polite", "path": "/etc"}), 400, None, "path"),
        (await admin.post("/v1/values", content=b"source=polite"), 415, "unsupported_media_type", None),
        (await admin.delete("/v1/values/polite"), 409, "value_conflict", None),
        (await admin.delete("/v1/values/nobody"), 404, "value_not_found", None),
        (await admin.delete("/v1/values/..%2fpolite"), 404, None, None),
    ]
    for response, status, code, param in cases:
        assert response.status_code == status, response.text
        error = response.json()["error"]
        assert code is None or error["code"] == code
        assert error["param"] == param


async def test_what_the_server_was_started_with_may_come_back(engine: FakeEngine) -> None:
    """Also alone, where several values were in one place, and without a values directory."""
    async with connect(engine, admin_api_key=ADMIN, values="some/heads,owner/name") as client:
        client.headers.update(AS_ADMIN)
        assert (await load(client, "some/heads#polite")).status_code == 200
        assert (await load(client, "owner/name")).status_code == 200
        refused = await load(client, "some/other")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "source")


async def test_a_value_of_the_default_weights_stays(engine: FakeEngine) -> None:
    async with connect(engine, admin_api_key=ADMIN, objective_weights="concise=1") as client:
        answer = await client.delete("/v1/values/fake-value", headers=AS_ADMIN)
        assert answer.status_code == 409
        assert "default weights name 'concise'" in answer.json()["error"]["message"]


async def test_a_value_of_a_preset_stays(admin: httpx.AsyncClient, engine: FakeEngine, tmp_path: Path) -> None:
    await load(admin, "polite")
    await admin.put("/v1/presets/kind", json={"objective_weights": {"polite": 1}})
    answer = await admin.delete("/v1/values/polite")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "value_conflict")
    assert "preset 'kind' names 'polite'" in answer.json()["error"]["message"]
    await admin.delete("/v1/presets/kind")
    assert (await admin.delete("/v1/values/polite")).status_code == 200
    file = tmp_path / "presets.yaml"
    file.write_text("warm: {objective_weights: {cheerful: 1}}")
    async with connect(engine, admin_api_key=ADMIN, presets=file) as client:
        answer = await client.delete("/v1/values/fake-value", headers=AS_ADMIN)
        assert "preset 'warm' names 'cheerful'" in answer.json()["error"]["message"]


@pytest.mark.parametrize("keys", [{}, {"api_key": "user-key"}])
async def test_only_the_admin_key_opens_it(engine: FakeEngine, keys: dict[str, str]) -> None:
    async with connect(engine, admin_api_key=ADMIN, **keys) as client:
        for key in ("", "Bearer", "Bearer user-key", "Bearer wrong", f"Basic {ADMIN}", f"Bearer {ADMIN[:-1]}"):
            denied = 403 if not keys or key == "Bearer user-key" else 401
            for request in (client.get("/v1/values", headers={"authorization": key}),
                            client.post("/v1/values", headers={"authorization": key}, json={"source": "shipped:lm"}),
                            client.delete("/v1/values/fake-value", headers={"authorization": key})):  # fmt: skip
                assert (await request).status_code == denied, key
        assert (await client.get("/v1/values", headers=AS_ADMIN)).status_code == 200
        assert (await client.get("/v1/objectives", headers=AS_ADMIN)).status_code == 200
    assert len(engine.info.objectives) == 2


async def test_without_an_admin_key_there_is_no_such_path(engine: FakeEngine) -> None:
    async with connect(engine) as client:
        for response in (await client.get("/v1/values"), await client.delete("/v1/values/fake-value")):
            assert response.json()["error"]["code"] == "not_found"
        assert "/v1/values" not in (await client.get("/openapi.json")).json()["paths"]
