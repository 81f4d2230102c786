"""``--bounds``: read and checked at start, then in force on every endpoint for the key that calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from mavis_core.api.errors import ConfigError
from server.bounds.bounds_file import BoundsFile, check_keys, check_objectives, read_bounds
from server.http.keys import ApiKey, KeyRing, digest_of
from tests.models import objective
from tests.server.conftest import USER, app_client
from tests.server.fake_engine import FakeEngine

KEYS = "- {key: key-of-team-a, name: team-a}\n- {key: key-of-team-b, name: team-b}\n"
BOUNDS = """
default:
  weights: {cheerful: {floor: -1, ceiling: 1}, "*": {floor: -2, ceiling: 2}}
  beta: {ceiling: 1.25}
keys:
  team-a:
    weights: {concise: 1.5}
    max_kl_per_token: {ceiling: 0.5}
    own_objectives: false
"""


def bounds_at(folder: Path, text: str = BOUNDS) -> Path:
    path = folder / "bounds.yaml"
    path.write_text(text)
    return path


def settings(folder: Path) -> dict[str, Any]:
    (folder / "keys.yaml").write_text(KEYS)
    return {"bounds": bounds_at(folder), "api_key_file": folder / "keys.yaml"}


def told(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    body = response.json()
    return (body["choices"][0] if "choices" in body else body)["guidance"]


ENDPOINTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": USER},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/invocations": {"messages": USER},
}


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_every_endpoint_is_bounded_by_the_callers_key(path: str, tmp_path: Path) -> None:
    engine, asked = FakeEngine(), ENDPOINTS[path]
    async with app_client(engine, **settings(tmp_path)) as client:
        a, b = ({"Authorization": f"Bearer key-of-team-{team}"} for team in "ab")
        found = told(await client.post(path, json=asked, headers=a))
        assert (found["weights"], found["source"]) == ({"concise": 1.5}, "bounds")
        assert found["bounded"] == {"objective_weights.concise": 1.5, "guidance.max_kl_per_token": 0.5}
        assert engine.requests[-1].guidance.max_kl_per_token == 0.5
        found = told(await client.post(path, json={**asked, "objective_weights": {"cheerful": 4.0}}, headers=b))
        assert (found["weights"], found["source"]) == ({"cheerful": 1.0}, "body")
        assert found["bounded"] == {"objective_weights.cheerful": 1.0, "guidance.beta": 1.25}
        assert engine.requests[-1].guidance.beta == 1.25
        within = {**asked, "objective_weights": {"cheerful": 1.0}, "guidance": {"beta": 1}}
        found = told(await client.post(path, json=within, headers=b))
        assert "bounded" not in found


@pytest.mark.parametrize("way", ["header", "preset", "preference", "default"])
async def test_wherever_weights_come_from(way: str, tmp_path: Path) -> None:
    (tmp_path / "presets.yaml").write_text("p: {objective_weights: {cheerful: 3}, guidance: {beta: 9}}")
    given: dict[str, Any] = {"objective_weights": {"cheerful": 3.0}} if way == "default" else {}
    file = bounds_at(tmp_path, "default: {weights: {cheerful: {ceiling: 1}}, beta: {ceiling: 4}}")
    async with app_client(bounds=file, presets=tmp_path / "presets.yaml", **given) as client:
        await client.put("/v1/preferences/ann", json={"objective_weights": {"cheerful": 3.0}})
        asked: dict[str, Any] = {"preset": {"model": "fake/model:p"}, "preference": {"user": "ann"}}.get(way, {})
        headers = {"X-Objective-Weights": "cheerful=3"} if way == "header" else {}
        found = told(await client.post("/v1/chat/completions", json={"messages": USER, **asked}, headers=headers))
        assert (found["weights"], found["source"]) == ({"cheerful": 1.0}, way)
        assert found["bounded"].get("guidance.beta") == (4.0 if way == "preset" else None)


async def test_streams_searches_and_objectives_in_words(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with app_client(engine, bounds=bounds_at(tmp_path, 'default: {weights: {"*": {ceiling: 1}}}')) as client:
        asked = {"messages": USER, "objectives": {"pirate": "Be one."}, "objective_weights": {"pirate": 2.0}}
        response = await client.post("/v1/chat/completions", json={**asked, "stream": True, "max_tokens": 2})
        last = orjson.loads(response.text.split("\n\n")[-3].removeprefix("data: "))
        assert last["choices"][0]["guidance"]["bounded"] == {"objective_weights.pirate": 1.0}
        assert engine.requests[-1].guidance.weights == {"pirate": 1.0}
        search = {"objective_weights": {"cheerful": 2.0}, "guidance": {"search": {"method": "best_of"}}}
        found = told(await client.post("/v1/chat/completions", json={"messages": USER, "max_tokens": 2, **search}))
        assert found["bounded"] == {"objective_weights.cheerful": 1.0}


async def test_a_key_that_may_bring_no_objectives(tmp_path: Path) -> None:
    async with app_client(**settings(tmp_path)) as client:
        asked = {"messages": USER, "objectives": {"pirate": "Be one."}, "objective_weights": {"pirate": 1.0}}
        for team, status in (("a", 400), ("b", 200)):
            headers = {"Authorization": f"Bearer key-of-team-{team}"}
            response = await client.post("/v1/chat/completions", json=asked, headers=headers)
            assert response.status_code == status
        refused = await client.post(
            "/v1/chat/completions", json=asked, headers={"Authorization": "Bearer key-of-team-a"}
        )
        assert refused.json()["error"]["message"] == "objectives: this key may not bring objectives of its own"


async def test_objectives_show_the_callers_own_ranges(tmp_path: Path) -> None:
    async with app_client(**settings(tmp_path)) as client:
        shown = {}
        for team in "ab":
            response = await client.get("/v1/objectives", headers={"Authorization": f"Bearer key-of-team-{team}"})
            shown[team] = response.json()
        ranges = {t: {o["name"]: tuple(o["weight_range"]) for o in body["data"]} for t, body in shown.items()}
        assert ranges["a"]["concise"] == (1.5, 1.5) and ranges["b"]["concise"] == (-2.0, 2.0)
        assert ranges["b"]["cheerful"] == (-1.0, 1.0)
        assert shown["a"]["bounds"] == {
            "beta": {"floor": None, "ceiling": None},
            "max_kl_per_token": {"floor": None, "ceiling": 0.5},
            "own_objectives": False,
        }


async def test_a_held_objective_that_is_gone(tmp_path: Path) -> None:
    """Nobody is served without what the operator holds."""
    engine = FakeEngine()
    async with app_client(engine, bounds=bounds_at(tmp_path, "default: {weights: {gone: 1}}")) as client:
        response = await client.post("/v1/chat/completions", json={"messages": USER})
        assert response.status_code == 400
        assert response.json()["error"]["message"].startswith(
            "the operator's bounds: objective_weights: unknown objective 'gone'"
        )


async def test_what_is_bounded_is_not_taken_away(tmp_path: Path) -> None:
    admin = {"Authorization": "Bearer a-key-of-the-admin"}
    given: dict[str, Any] = {"admin_api_key": "a-key-of-the-admin", "values_dir": tmp_path, "objectives": ("shipped",)}
    async with app_client(bounds=bounds_at(tmp_path, "keys: {admin: {weights: {vivid: 1}}}"), **given) as client:
        response = await client.delete("/v1/objectives/vivid", headers=admin)
        assert response.status_code == 409
        assert "keys.admin of the bounds names 'vivid'" in response.json()["error"]["message"]
        assert (await client.delete("/v1/objectives/formal", headers=admin)).status_code == 200


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("default: {weights: {a: {floor: 2, ceiling: 1}}}", "default.weights.a: .*floor 2 is above ceiling 1"),
        ("defaults: {}", "defaults: Extra inputs"),
        ("[", "not YAML"),
        ("default: {weights: {a: 1, a: 2}}", "'a' is given twice"),
    ],
)
def test_files_that_cannot_be_used(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        read_bounds(bounds_at(tmp_path, text))


def test_names_that_nobody_has(tmp_path: Path) -> None:
    file = BoundsFile.model_validate({"keys": {"team-a": {}, "team-c": {}}})
    ring = KeyRing([ApiKey("team-a", digest_of("secret-a"))], ApiKey("admin", digest_of("secret-b"), admin=True))
    with pytest.raises(ConfigError, match=r"keys\.team-c: no key has this name; there are: team-a, admin$"):
        check_keys(file, tmp_path, ring)
    check_keys(BoundsFile.model_validate({"keys": {"anonymous": {}}}), None, KeyRing([]))


def test_objectives_that_do_not_exist_or_cannot() -> None:
    objectives = [objective("a", weight_range=(-1, 1))]
    for weights, says in (
        ({"b": 1}, r"default\.weights\.b: no objective has this name; there are: a$"),
        ({"a": {"floor": 2}}, r"default\.weights\.a: its weights go from -1 to 1$"),
    ):
        with pytest.raises(ConfigError, match=says):
            check_objectives(BoundsFile.model_validate({"default": {"weights": weights}}), Path("b.yaml"), objectives)
    fine = {"keys": {"x": {"weights": {"a": {"ceiling": 0.5}, "*": 0}}}}
    check_objectives(BoundsFile.model_validate(fine), Path("b.yaml"), objectives)
