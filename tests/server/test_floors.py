"""Floors, worst case and what is maximised over HTTP, with the model that ships and its values."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.server.real_engine import served

USER = [{"role": "user", "content": "How was your day?"}]


async def asked(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/v1/chat/completions", json={"messages": USER, "max_tokens": 4, "seed": 1, **body})


async def the_answer_says_what_was_found(client: httpx.AsyncClient) -> None:
    guidance = {"floors": {"factual": 0.2}, "max_kl_per_token": 0.5}
    answer = (await asked(client, objective_weights={"cheerful": 1}, guidance=guidance)).json()["choices"][0]
    found = answer["guidance"]
    assert set(found["found_weights"]) == set(found["values"]) == {"cheerful", "factual"}
    assert set(found["floors_missed"]) == {"factual"} and found["weights"] == {"cheerful": 1}
    worst = (await asked(client, guidance={"worst_case": ["cheerful", "concise"]})).json()["choices"][0]["guidance"]
    assert sum(worst["found_weights"].values()) == pytest.approx(1) and worst["floors_missed"] == {}
    most = (await asked(client, guidance={"maximise": ["curious"], "max_kl_per_token": 0.1})).json()["choices"][0]
    assert most["guidance"]["steering_nats"] / 4 <= 0.1 + 1e-6
    plain = (await asked(client, objective_weights={"cheerful": 1})).json()["choices"][0]["guidance"]
    assert "found_weights" not in plain and "floors_missed" not in plain


async def a_floor_on_words_that_nothing_weighs(client: httpx.AsyncClient) -> None:
    body = {"objectives": {"pirate": "Talk like a pirate."}, "guidance": {"floors": {"pirate": 0.0}}}
    found = (await asked(client, **body)).json()["choices"][0]["guidance"]
    assert set(found["found_weights"]) == {"pirate"} and found["companion_tokens"] > 0


async def a_presets_floors_hold_under_other_weights(client: httpx.AsyncClient) -> None:
    admin = {"Authorization": "Bearer an admin key of the tests"}
    preset = {"objective_weights": {}, "guidance": {"floors": {"concise": 0.0}, "max_kl_per_token": 1.0}}
    assert (await client.put("/v1/presets/brief", json=preset, headers=admin)).status_code == 200
    found = await asked(client, model="mavis-small:brief", objective_weights={"cheerful": 2})
    assert set(found.json()["choices"][0]["guidance"]["floors_missed"]) == {"concise"}
    preset["guidance"] = {"floors": {"nobody": 0.0}}
    assert (await client.put("/v1/presets/other", json=preset, headers=admin)).status_code == 400


async def test_served_by_the_real_engine() -> None:
    async with served(admin_api_key="an admin key of the tests") as client:
        await the_answer_says_what_was_found(client)
        await a_floor_on_words_that_nothing_weighs(client)
        await a_presets_floors_hold_under_other_weights(client)


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"guidance": {"floors": {"cheerful": 65}}}, "guidance.floors.cheerful", "must be -64 to 64"),
        ({"guidance": {"floors": {"nobody": 0}}}, "guidance.floors", "unknown objective 'nobody'"),
        ({"guidance": {"floors": {"cheerful": "0"}}}, "guidance.floors.cheerful", "number"),
        ({"guidance": {"floors_relative": True}}, "guidance.floors_relative", "no guidance.floors"),
        ({"guidance": {"floors": {"cheerful": 0}, "beta": 0}}, "guidance.beta", "plain model"),
        ({"guidance": {"floors": {"cheerful": 0}, "normalise": "minmax"}}, "guidance.normalise", "guidance.floors"),
        ({"guidance": {"floors": {"cheerful": 0}, "search": {"method": "chunk"}}}, "guidance.search", "floors"),
        ({"guidance": {"maximise": ["cheerful"]}}, "guidance.maximise", "max_kl_per_token"),
        ({"guidance": {"maximise": ["cheerful"], "max_kl_per_token": 1, "beta": 2}}, "guidance.beta", "maximise"),
        (
            {"guidance": {"maximise": ["cheerful"], "max_kl_per_token": 1}, "objective_weights": {"concise": 1}},
            "guidance.maximise",
            "'concise' has one",
        ),
        ({"guidance": {"worst_case": ["cheerful"]}}, "guidance.worst_case", "must be 2 to 8"),
        ({"guidance": {"worst_case": ["cheerful", "cheerful"]}}, "guidance.worst_case", "twice"),
        ({"guidance": {"worst_cases": ["cheerful", "concise"]}}, "guidance.worst_cases", "worst_case"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    client: httpx.AsyncClient, body: dict[str, Any], param: str, said: str
) -> None:
    response = await asked(client, **body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param), response.text
    assert said in response.json()["error"]["message"]
