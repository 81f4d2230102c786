"""Every way in for weights, alone and against every other, chat and text, streaming and not."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, get_args

import httpx
import orjson
import pytest

from server.weights import HEADER, Source
from tests.server.conftest import USER, app_client
from tests.server.fake_engine import FakeEngine

WAYS = ("body", "header", "preset", "preference", "default")  # the order of precedence
WEIGHTS = {way: {"cheerful": i / 4} for i, way in enumerate(WAYS, 1) if way != "preset"} | {"preset": {"concise": 3.0}}
USED = [ways for size in range(len(WAYS) + 1) for ways in itertools.combinations(WAYS, size)]
PATHS: dict[str, dict[str, Any]] = {"/v1/chat/completions": {"messages": USER}, "/v1/completions": {"prompt": "hi"}}


def test_the_order_is_the_documented_one() -> None:
    assert (*WAYS, "bounds", "none", "patch") == get_args(Source)


async def guidance_of(client: httpx.AsyncClient, path: str, stream: bool, headers: dict[str, str], body: Any) -> Any:
    response = await client.post(path, json={**body, "max_tokens": 2, "stream": stream}, headers=headers)
    assert response.status_code == 200, response.text
    if not stream:
        return response.json()["choices"][0]["guidance"]
    events = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    return orjson.loads(events[-2])["choices"][0]["guidance"]


@pytest.mark.parametrize("ways", USED, ids="+".join)
async def test_the_first_way_wins_and_replaces_the_whole_map(
    ways: tuple[str, ...], tmp_path: Path, address: str
) -> None:
    file = tmp_path / "presets.yaml"
    file.write_bytes(b"p: " + orjson.dumps({"objective_weights": WEIGHTS["preset"]}))
    settings: dict[str, Any] = {"objective_weights": WEIGHTS["default"]} if "default" in ways else {}
    engine = FakeEngine()
    async with app_client(engine, presets=file, database=address, **settings) as client:
        await client.put("/v1/preferences/ann", json={"objective_weights": WEIGHTS["preference"]})
        steering: dict[str, Any] = {
            "body": {"objective_weights": WEIGHTS["body"]},
            "preset": {"model": "fake/model:p"},
            "preference": {"user": "ann"},
        }
        sent = {name: value for way in ways for name, value in steering.get(way, {}).items()}
        headers = {HEADER: f"cheerful={WEIGHTS['header']['cheerful']}"} if "header" in ways else {}
        winner = next((way for way in WAYS if way in ways), "none")
        for (path, prompt), stream in itertools.product(PATHS.items(), (False, True)):
            guidance = await guidance_of(client, path, stream, headers, prompt | sent)
            assert (guidance["source"], guidance["weights"]) == (winner, WEIGHTS.get(winner, {}))
            assert engine.requests[-1].guidance.weights == WEIGHTS.get(winner, {})
        metrics = (await client.get("/metrics")).text
        assert f'mavis:weights_source_total{{source="{winner}"}} 4.0' in metrics


@pytest.mark.parametrize("way", ["body", "header", "preset", "preference"])
async def test_an_empty_map_is_the_plain_model(way: str, tmp_path: Path) -> None:
    file = tmp_path / "presets.yaml"
    file.write_text("p: {objective_weights: {}}")
    async with app_client(presets=file, objective_weights="cheerful=1") as client:
        await client.put("/v1/preferences/ann", json={"objective_weights": {}})
        asked: dict[str, dict[str, Any]] = {
            "body": {"objective_weights": {}}, "preset": {"model": "fake/model:p"}, "preference": {"user": "ann"},
        }  # fmt: skip
        body = asked.get(way, {})
        headers = {HEADER: ""} if way == "header" else {}
        for path, prompt in PATHS.items():
            guidance = await guidance_of(client, path, False, headers, prompt | body)
            assert (guidance["source"], guidance["weights"], guidance["beta"]) == (way, {}, 0)


async def test_a_header_that_is_given_twice(client: httpx.AsyncClient) -> None:
    headers = [(HEADER, "cheerful=1"), (HEADER, "cheerful=2")]
    response = await client.post("/v1/chat/completions", json={"messages": USER}, headers=headers)
    assert (response.status_code, response.json()["error"]["param"]) == (400, HEADER)


@pytest.mark.parametrize(
    "value",
    [b"cheerful=1\tconcise=2", b"\xff\xfe=1", b"cheerful=1;concise=2", b'{"cheerful": 1}\x00', b"{" * 5000,
     b"cheerful=" + b"9" * 5000, b"a=1," * 5000, b'{"cheerful": {"a": 1}}', b'{"cheerful": "1"}', b"cheerful=1e999",
     b'["cheerful"]', b"cheerful==1"],
)  # fmt: skip
async def test_hostile_headers(client: httpx.AsyncClient, engine: FakeEngine, value: bytes) -> None:
    response = await client.post("/v1/chat/completions", json={"messages": USER}, headers=[(HEADER.encode(), value)])
    assert response.status_code == 400
    assert response.json()["error"]["param"] == HEADER
    assert len(response.text) < 1000
    assert not engine.requests
