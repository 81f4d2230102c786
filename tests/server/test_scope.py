"""``guidance.scope`` with the model that ships: tools are called alike whatever the weights, answers are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.server.conftest import USER, app_client
from tests.server.fake_engine import FakeEngine
from tests.server.real_engine import served
from tests.server.tools import TOOLS

BOOK = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 24},
        "nights": {"type": "integer", "minimum": 1, "maximum": 30},
        "class": {"enum": ["budget", "luxury"]},
    },
    "required": ["city", "nights", "class"],
}
FUNCTION = {"type": "function", "function": {"name": "book", "parameters": BOOK}}
NAMED = {"type": "function", "function": {"name": "book"}}
STRONG: list[dict[str, float]] = [{"cheerful": 4, "concise": -4}, {"cheerful": -4, "concise": 4}]


async def ask(client: httpx.AsyncClient, weights: dict[str, float], **more: Any) -> Any:
    body = {"messages": USER, "objective_weights": weights, "max_tokens": 60, "seed": 3, **more}
    response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


async def arguments_under_strong_weights_are_those_without(shipped: httpx.AsyncClient) -> None:
    for choice in ("required", NAMED):
        tools = {"tools": [FUNCTION], "tool_choice": choice}
        plain = await ask(shipped, {}, **tools)
        arguments = plain["message"]["tool_calls"][0]["function"]["arguments"]
        for weights in STRONG:
            steered = await ask(shipped, weights, **tools)
            assert steered["message"]["tool_calls"][0]["function"]["arguments"] == arguments
            assert (steered["guidance"]["steered_tokens"], steered["guidance"]["kl_nats"]) == (0, 0)
        everywhere = await ask(shipped, STRONG[0], **tools, guidance={"scope": "all"})
        assert everywhere["guidance"]["steered_tokens"] > 10
        assert everywhere["message"]["tool_calls"][0]["function"]["arguments"] != arguments


async def free_text_in_a_schema_is_steered_and_the_rest_is_not(shipped: httpx.AsyncClient) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "stay", "schema": BOOK}}
    told = await ask(shipped, STRONG[0], response_format=form, guidance={"report": True})
    tokens = told["guidance"]["tokens"]
    steered = "".join(token["token"] for token in tokens if token["steered"])
    assert told["message"]["content"].startswith('{"city":"' + steered.rstrip('"')[:6])
    assert 0 < told["guidance"]["steered_tokens"] < len(tokens)
    assert told["guidance"]["steered_tokens"] == sum(token["steered"] for token in tokens)
    assert not any(token["steered"] for token in tokens[-4:])


async def text_without_tools_is_all_answer(shipped: httpx.AsyncClient) -> None:
    by_default, everywhere = [await ask(shipped, {"cheerful": 1}, guidance=g) for g in ({}, {"scope": "all"})]
    assert by_default == everywhere
    assert by_default["guidance"]["steered_tokens"] > 1


async def test_the_model_that_ships() -> None:
    """One server for all of them."""
    async with served() as shipped:
        await arguments_under_strong_weights_are_those_without(shipped)
        await free_text_in_a_schema_is_steered_and_the_rest_is_not(shipped)
        await text_without_tools_is_all_answer(shipped)


async def test_what_the_engine_is_told() -> None:
    engine = FakeEngine(max_model_len=1000)
    async with app_client(engine) as client:
        for choice, begins in (("auto", ("<tool_call>",)), ("required", ("",)), ("none", ())):
            asked = {"messages": USER, "tools": TOOLS, "tool_choice": choice, "max_tokens": 1}
            response = await client.post("/v1/chat/completions", json={**asked, "guidance": {"scope": "all"}})
            assert response.status_code == 200, response.text
            assert engine.requests[-1].sampling.calls == begins
            assert engine.requests[-1].guidance.scope == "all"
        response = await client.post("/v1/chat/completions", json={"messages": USER, "guidance": {"scope": "tools"}})
        assert response.status_code == 400
        assert "guidance.scope" in response.json()["error"]["message"]


async def test_a_preset_may_say_it(tmp_path: Path) -> None:
    (tmp_path / "presets.yaml").write_text("p: {objective_weights: {cheerful: 1}, guidance: {scope: all}}")
    engine = FakeEngine()
    async with app_client(engine, presets=tmp_path / "presets.yaml") as client:
        await client.post("/v1/chat/completions", json={"messages": USER, "model": "fake/model:p", "max_tokens": 1})
        assert engine.requests[-1].guidance.scope == "all"
