"""Presets: the file, the admin's endpoints, names, listing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from mavis_core.api.errors import ConfigError, InvalidRequestError
from server.protocol.presets import Preset
from server.stored.database import Database
from server.stored.presets import MAX_PRESETS, Presets, check_presets, read_presets
from server.stored.tables import PRESETS
from tests.server.conftest import SCOPE, USER, app_client
from tests.server.fake_engine import FakeEngine

ADMIN = "admin-key-0123456789"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
FILE = """
warm:
  description: friendly and short
  objective_weights: {cheerful: 1, concise: 0.5}
  guidance: {beta: 2, top_k: 11, max_kl_per_token: 0.5, normalise: minmax}
plain:
  objective_weights: {}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "presets.yaml"
    path.write_text(FILE)
    return path


async def chat(client: httpx.AsyncClient, model: str, **body: Any) -> Any:
    response = await client.post("/v1/chat/completions", json={"messages": USER, "model": model, **body})
    return response.json() | {"status": response.status_code}


async def test_a_preset_of_the_file_steers(file: Path, engine: FakeEngine) -> None:
    async with app_client(engine, presets=file) as client:
        answer = await chat(client, "fake/model:warm")
        assert answer["model"] == "fake/model:warm"
        assert answer["choices"][0]["guidance"]["source"] == "preset"
        guidance = engine.requests[0].guidance
        assert guidance.weights == {"cheerful": 1, "concise": 0.5}
        assert (guidance.beta, guidance.top_k, guidance.max_kl_per_token) == (2, 11, 0.5)
        assert guidance.normalise == "minmax"
        await chat(client, "fake/model:warm", guidance={"beta": 3, "report": True})
        guidance = engine.requests[1].guidance
        assert (guidance.beta, guidance.top_k, guidance.report) == (3, 11, True)
        answer = await chat(client, "fake/model:plain")
        assert (
            answer["choices"][0]["guidance"] | {"source": "preset", "weights": {}} == answer["choices"][0]["guidance"]
        )


async def test_listed_with_the_models(file: Path) -> None:
    async with app_client(presets=file, served_model_name="a,b", admin_api_key=ADMIN) as client:
        stored = {"objective_weights": {"cheerful": -1}}
        assert (await client.put("/v1/presets/own", json=stored, headers=AS_ADMIN)).status_code == 200
        cards = (await client.get("/v1/models")).json()["data"]
        names = ["a", "b", "a:warm", "a:plain", "a:own", "b:warm", "b:plain", "b:own"]
        assert [card["id"] for card in cards] == names
        assert [card["preset"] for card in cards[:3]] == [None, None, "warm"]
        for card in cards:
            assert (await client.get("/v1/models/" + card["id"])).json() == card
        listed = (await client.get("/v1/presets")).json()["data"]
        assert [(card["name"], card["source"]) for card in listed] == [
            ("warm", "file"),
            ("plain", "file"),
            ("own", "database"),
        ]
        assert (await client.get("/v1/presets/warm")).json() == listed[0]


@pytest.mark.parametrize(
    ("served", "asked", "source"),
    [
        ("owner/name", "owner/name:warm", "preset"),
        ("a:b", "a:b", "none"),
        ("a:b", "a:b:warm", "preset"),
        ("m,m:warm", "m:warm", "none"),  # a served name wins where it matches exactly
        ("m,m:warm", "m:warm:warm", "preset"),
    ],
)
async def test_colons(file: Path, served: str, asked: str, source: str) -> None:
    async with app_client(presets=file, served_model_name=served) as client:
        answer = await chat(client, asked)
        assert (answer["model"], answer["choices"][0]["guidance"]["source"]) == (asked, source)
        assert (await client.get(f"/v1/models/{asked}")).json()["id"] == asked


@pytest.mark.parametrize(
    "model",
    ["fake/model:", "fake/model:nope", ":warm", "warm", "nope:warm", "fake/model:warm:", "fake/model: warm",
     "fake/model:../warm", "fake/model:Warm", "fake/model:" + "w" * 10_000, "fake/model:a\0b", ":" * 5000],
)  # fmt: skip
async def test_unknown_presets_are_unknown_models(file: Path, model: str) -> None:
    async with app_client(presets=file) as client:
        answer = await chat(client, model)
        assert (answer["status"], answer["error"]["code"]) == (404, "model_not_found")
        assert len(answer["error"]["message"]) < 1000


async def test_the_admin_writes_and_everybody_reads(address: str, file: Path) -> None:
    settings: dict[str, Any] = {
        "database": address, "presets": file, "api_key": "ordinary-key", "admin_api_key": ADMIN,
    }  # fmt: skip
    ordinary = {"authorization": "Bearer ordinary-key"}
    preset = {"objective_weights": {"concise": -1}, "guidance": {"beta": 4}, "description": "long answers"}
    async with app_client(**settings) as client, app_client(**settings) as replica:
        path = "/v1/presets/long.v2"
        assert (await client.put(path, json=preset)).status_code == 401
        refused = await client.put(path, json=preset, headers=ordinary)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "admin_only")
        assert (await client.delete(path, headers=ordinary)).status_code == 403
        assert (await client.delete(path, headers=AS_ADMIN)).status_code == 404
        put = await client.put(path, json=preset, headers=AS_ADMIN)
        assert put.status_code == 200, put.text
        body = {"messages": USER, "model": "fake/model:long.v2"}
        answer = (await replica.post("/v1/chat/completions", json=body, headers=ordinary)).json()
        assert answer["choices"][0]["guidance"]["weights"] == {"concise": -1}
        assert answer["choices"][0]["guidance"]["beta"] == 4
        card = (await replica.get(path, headers=ordinary)).json()
        assert (card["description"], card["guidance"]["beta"]) == ("long answers", 4)
        deleted = await replica.delete(path, headers=AS_ADMIN)
        assert deleted.json() == {"id": "long.v2", "object": "preset.deleted", "deleted": True}
        assert (await client.get(path, headers=ordinary)).json()["error"]["code"] == "preset_not_found"
        for response in (
            await client.put("/v1/presets/warm", json=preset, headers=AS_ADMIN),
            await client.delete("/v1/presets/warm", headers=AS_ADMIN),
        ):
            assert (response.status_code, response.json()["error"]["code"]) == (409, "preset_read_only")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "objective_weights"),
        ({"objective_weights": {"cheery": 1}}, "objective_weights"),
        ({"objective_weights": {"cheerful": 9}}, "objective_weights.cheerful"),
        ({"objective_weights": {}, "guidance": {"beta": 65}}, "guidance.beta"),
        ({"objective_weights": {}, "guidance": {"report": True}}, "guidance.report"),
        ({"objective_weights": {}, "description": "x" * 501}, "description"),
        ({"objective_weights": {}, "weights": {}}, "weights"),
    ],
)
async def test_wrong_presets_are_refused(body: Any, param: str) -> None:
    async with app_client(admin_api_key=ADMIN) as client:
        response = await client.put("/v1/presets/p", json=body, headers=AS_ADMIN)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
        assert (await client.get("/v1/presets/p")).status_code == 404


HOSTILE = ["..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00", "%ff", "x" * 65, "x" * 10_000, "a:b", "-a", "a%20b", "a%0d%0ab"]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_names(name: str, address: str) -> None:
    async with app_client(admin_api_key=ADMIN, database=address) as client:
        put = await client.put(f"/v1/presets/{name}", json={"objective_weights": {}}, headers=AS_ADMIN)
        assert put.status_code in (400, 404, 405), put.text
        assert len(put.text) < 700
        for response in (
            await client.get(f"/v1/presets/{name}"),
            await client.delete(f"/v1/presets/{name}", headers=AS_ADMIN),
        ):
            assert response.status_code in (404, 405)


async def test_without_an_admin_key_nothing_can_be_written(client: httpx.AsyncClient) -> None:
    response = await client.put("/v1/presets/p", json={"objective_weights": {}})
    assert response.status_code == 403
    assert "--admin-api-key" in response.json()["error"]["message"]


async def test_the_number_of_presets_is_bounded() -> None:
    database = Database("sqlite://")
    store = Presets({}, database)
    for i in range(MAX_PRESETS):
        await store.put(SCOPE, f"p{i}", Preset(objective_weights={}))
    await store.put(SCOPE, "p0", Preset(objective_weights={"cheerful": 1}))
    with pytest.raises(InvalidRequestError, match="no more fit"):
        await store.put(SCOPE, "another", Preset(objective_weights={}))
    database.close()


async def test_a_stored_preset_whose_objective_is_gone() -> None:
    async with app_client(admin_api_key=ADMIN) as client:
        store = client._transport.app.state.service.presets  # type: ignore[attr-defined]
        await store.put(SCOPE, "old", Preset(objective_weights={"unloaded": 1}))
        answer = await chat(client, "fake/model:old")
        assert (answer["status"], answer["error"]["param"]) == (400, "model")
        assert "the preset" in answer["error"]["message"] and "'unloaded'" in answer["error"]["message"]


async def test_a_stored_preset_of_another_version_takes_no_others_along(address: str) -> None:
    async with app_client(admin_api_key=ADMIN, database=address) as client:
        await client.put("/v1/presets/good", json={"objective_weights": {"cheerful": 1}}, headers=AS_ADMIN)
        database = client._transport.app.state.service.database  # type: ignore[attr-defined]
        row = {
            "name": "new",
            "model": SCOPE.model,
            "preset": {"objective_weights": {}, "colour": "red"},
            "updated_at": 1,
        }
        await database.write(lambda connection: connection.execute(insert(PRESETS).values(row)))
        assert [card["id"] for card in (await client.get("/v1/models")).json()["data"]] == [
            "fake/model",
            "fake/model:good",
        ]
        assert (await client.get("/v1/presets/new")).status_code == 404
        assert (await chat(client, "fake/model:new"))["status"] == 404
        put = await client.put("/v1/presets/new", json={"objective_weights": {}}, headers=AS_ADMIN)
        assert put.status_code == 200
        assert (await client.delete("/v1/presets/new", headers=AS_ADMIN)).status_code == 200


async def test_a_description_may_be_any_text(address: str) -> None:
    """PostgreSQL's text has no U+0000, its JSON has."""
    preset = {"objective_weights": {}, "description": "\0 \U0001f600 \u202e"}
    async with app_client(admin_api_key=ADMIN, database=address) as client:
        assert (await client.put("/v1/presets/p", json=preset, headers=AS_ADMIN)).status_code == 200
        assert (await client.get("/v1/presets/p")).json()["description"] == preset["description"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("warm: [", "not YAML in line 1"),
        ("- warm", "dictionary"),
        ("", "dictionary"),
        ("warm: {}", "warm.objective_weights: Field required"),
        ("warm: {objective_weights: {a: x}}", "warm.objective_weights.a"),
        ("warm: {objective_weights: {a: 99}}", "preset 'warm': objective_weights.a=99: must be -16 to 16"),
        ("warm: {objective_weights: {a: .nan}}", "preset 'warm': objective_weights.a"),
        ("warm: {objective_weights: {}, guidance: {beta: 65}}", "preset 'warm': guidance.beta=65: must be 0 to 64"),
        ("warm: {objective_weights: {}, weigths: {}}", "warm.weigths"),
        ("../up: {objective_weights: {}}", "preset '../up': a name is"),
        ("a: {objective_weights: {}}\na: {objective_weights: {}}", "'a' is given twice"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "presets.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_presets(path)
    assert str(path) in str(error.value)
    assert says in str(error.value)


def test_an_unknown_objective_names_file_preset_and_objective(tmp_path: Path) -> None:
    path = tmp_path / "presets.yaml"
    path.write_text("warm: {objective_weights: {cheery: 1}}")
    with pytest.raises(ConfigError, match=r"presets\.yaml: preset 'warm': .*'cheery'; known: cheerful, concise"):
        check_presets(read_presets(path), path, FakeEngine().info.objectives)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_presets(tmp_path / "missing.yaml")
