"""``PATCH /v1/requests/{id}/steering``: what changes, from which token on, whose answers, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from server.client import guidance_of, steer
from server.protocol.answers import ChoiceGuidance, ChunkGuidance
from tests.mavis_core.clients import until
from tests.server.conftest import USER, Live, app_client
from tests.server.fake_engine import FakeEngine, FakeTokenizer

CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": USER, "max_tokens": 30},
    TEXT: {"prompt": "hi", "max_tokens": 30},
    RESPONSES: {"input": "hi", "max_output_tokens": 30},
}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(latency=0.002)


def drawn(engine: FakeEngine) -> int:
    """Tokens of the furthest answer."""
    return max((row.output_length for rows in engine._rows.values() for row in rows), default=0)


@asynccontextmanager
async def answering(
    client: httpx.AsyncClient, engine: FakeEngine, path: str = CHAT, headers: Any = None, **body: Any
) -> AsyncIterator[asyncio.Task[httpx.Response]]:
    """An answer that has three tokens and is not finished."""
    sent = client.post(path, json={**BODIES[path], **body}, headers=headers)
    task = asyncio.create_task(sent)
    await until(lambda: drawn(engine) >= 3)
    yield task
    assert (await task).status_code == 200, (await task).text


async def patch(client: httpx.AsyncClient, answer: str, headers: Any = None, **body: Any) -> httpx.Response:
    return await client.patch(f"/v1/requests/{answer}/steering", json=body, headers=headers)


def events(response: httpx.Response) -> list[dict[str, Any]]:
    found = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    return [json.loads(data) for data in found if data != "[DONE]"]


async def test_weights_strength_and_budget_change_and_what_is_left_out_stays(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    steering: dict[str, Any] = {"objective_weights": {"cheerful": 1}, "guidance": {"beta": 2, "top_k": 7}}
    async with answering(client, engine, request_id="a", **steering) as task:
        first = await patch(client, "chatcmpl-a", objective_weights={"concise": -1})
        assert first.status_code == 200, first.text
        found = first.json()
        (token,) = found.pop("from_token")
        assert 3 <= token < 30
        assert found == {
            "id": "chatcmpl-a",
            "object": "request.steering",
            "objective_weights": {"concise": -1.0},
            "guidance": {"beta": 2.0, "max_kl_per_token": None},
        }
        second = (await patch(client, "chatcmpl-a", guidance={"max_kl_per_token": 0.5})).json()
        assert (second["objective_weights"], second["guidance"]["beta"]) == ({"concise": -1.0}, 2.0)
        third = (await patch(client, "chatcmpl-a", guidance={"beta": None})).json()
        assert third["guidance"] == {"beta": None, "max_kl_per_token": 0.5}
    last = engine.requests[-1]
    assert (last.guidance.top_k, last.guidance.max_kl_per_token, last.guidance.beta) == (7, 0.5, None)
    guidance = ChoiceGuidance.model_validate((await task).json()["choices"][0]["guidance"])
    assert (guidance.weights, guidance.source, guidance.beta) == ({"concise": -1.0}, "patch", 1.5)
    assert guidance.changes is not None
    assert guidance.changes[0].token >= token
    assert guidance.changes[-1].max_kl_per_token == 0.5


@pytest.mark.parametrize("report", [False, True])
async def test_a_stream_says_in_the_first_chunk_that_is_steered_otherwise(
    client: httpx.AsyncClient, engine: FakeEngine, report: bool
) -> None:
    body: dict[str, Any] = {"objective_weights": {"cheerful": 1}, "guidance": {"report": report}}
    async with answering(client, engine, request_id="a", stream=True, **body) as task:
        (token,) = (await patch(client, "chatcmpl-a", objective_weights={"cheerful": 3})).json()["from_token"]
    chunks = [choice for event in events(await task) for choice in event["choices"]]
    texts = [chunk for chunk in chunks if chunk["delta"].get("content")]
    changed = [i for i, chunk in enumerate(texts) if "change" in (chunk.get("guidance") or {})]
    assert changed == [token], "a token a chunk"
    told = ChunkGuidance.model_validate(texts[token]["guidance"])
    assert told.change is not None and (told.change.token, told.change.weights) == (token, {"cheerful": 3.0})
    assert (told.tokens is not None) == report
    last = ChoiceGuidance.model_validate(chunks[-1]["guidance"])
    assert last.weights == {"cheerful": 3.0}
    assert [change.token for change in last.changes or ()] == [token]


async def test_every_endpoint_has_ids_that_change(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    async with answering(client, engine, TEXT, request_id="b", prompt=["hi", "ho"], n=2) as task:
        found = await patch(client, "cmpl-b", objective_weights={"cheerful": 2})
        assert len(found.json()["from_token"]) == 4
    assert all(choice["guidance"]["weights"] == {"cheerful": 2.0} for choice in (await task).json()["choices"])
    async with answering(client, engine, RESPONSES, stream=True) as task:
        (known,) = [answer for _, answer in client._transport.app.state.live_answers._known]  # type: ignore[attr-defined]
        assert known.startswith("resp_")
        (token,) = (await patch(client, known, objective_weights={"cheerful": 2})).json()["from_token"]
    told = events(await task)
    assert told[0]["response"]["id"] == known
    (change,) = [event["guidance"]["change"] for event in told if "guidance" in event]
    assert change["token"] == token
    assert told[-1]["response"]["guidance"]["changes"] == [change]


async def test_words_that_the_request_brought_or_the_server_has_are_told_when_they_weigh(engine: FakeEngine) -> None:
    async with app_client(engine, objectives=("shipped",)) as client:
        words = {"pirate": "Talk like a pirate."}
        async with answering(client, engine, request_id="a", objectives=words, objective_weights={}):
            assert engine.in_flight == 1
            assert (await patch(client, "chatcmpl-a", objective_weights={"pirate": 1})).status_code == 200
            assert engine.in_flight == 2
            assert (await patch(client, "chatcmpl-a", objective_weights={"pirate": 2, "formal": 1})).status_code == 200
            assert (
                await patch(client, "chatcmpl-a", objective_weights={"formal": 2, "cheerful": 0})
            ).status_code == 200
        told = [{o.name: FakeTokenizer().decode(o.prompt_token_ids) for o in one.prompted} for one in engine.requests]
        assert told[0] == {}
        assert told[1] == {"pirate": "system:Talk like a pirate.\nuser:hi\nassistant:"}
        assert [sorted(each) for each in told[2:]] == [["formal", "pirate"], ["formal"]]
        async with answering(client, engine, TEXT, request_id="b"):
            refused = await patch(client, "cmpl-b", objective_weights={"formal": 1})
        assert refused.status_code == 400
        assert "'formal'" in refused.text or "formal: is an objective in words" in refused.text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "nothing to change"),
        ({"objective_weights": None, "guidance": {}}, "nothing to change"),
        ({"objective_weights": {"cheerful": 4.5}}, "objective_weights.cheerful=4.5: must be -4 to 4"),
        ({"objective_weights": {"nobody": 1}}, "unknown objective 'nobody'; known: cheerful, concise"),
        ({"guidance": {"beta": 65}}, "guidance.beta=65: must be 0 to 64"),
        ({"guidance": {"max_kl_per_token": -1}}, "guidance.max_kl_per_token=-1: must be 0 to 1000"),
        ({"guidance": {"top_k": 3}}, "guidance.top_k"),
        ({"objective_weight": {"cheerful": 1}}, "did you mean 'objective_weights'?"),
    ],
)
async def test_what_is_refused_changes_nothing(
    client: httpx.AsyncClient, engine: FakeEngine, body: dict[str, Any], says: str
) -> None:
    async with answering(client, engine, request_id="a", objective_weights={"cheerful": 1}) as task:
        refused = await patch(client, "chatcmpl-a", **body)
        assert refused.status_code == 400
        assert says in refused.json()["error"]["message"]
    guidance = (await task).json()["choices"][0]["guidance"]
    assert (guidance["weights"], "changes" in guidance) == ({"cheerful": 1.0}, False)


async def test_a_search_is_refused(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    search = {"search": {"method": "best_of", "successors": 2}}
    async with answering(client, engine, request_id="a", objective_weights={"cheerful": 1}, guidance=search):
        refused = await patch(client, "chatcmpl-a", objective_weights={"cheerful": 2})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "guidance.search")


async def test_there_must_be_places_for_what_comes_beside(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.limit = 1
    async with answering(client, engine, request_id="a", objectives={"pirate": "Arr."}):
        refused = await patch(client, "chatcmpl-a", objective_weights={"pirate": 1})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")


async def test_unknown_finished_and_other_keys_answers_are_404s(engine: FakeEngine, tmp_path: Path) -> None:
    keys = {name: {"authorization": f"Bearer key-of-{name}-0123456789"} for name in ("ann", "bob")}
    listed = ",".join(header["authorization"][7:] for header in keys.values())
    change = {"objective_weights": {"cheerful": 1}}
    async with app_client(engine, api_key=listed) as client:
        async with answering(client, engine, headers=keys["ann"], request_id="a"):
            assert (await patch(client, "chatcmpl-a", **change)).status_code == 401
            for headers, answer in ((keys["bob"], "chatcmpl-a"), (keys["ann"], "chatcmpl-b")):
                missing = await patch(client, answer, headers, **change)
                assert missing.status_code == 404
                error = missing.json()["error"]
                assert (error["type"], error["code"]) == ("invalid_request_error", "request_not_found")
                assert answer in error["message"]
            assert (await patch(client, "chatcmpl-a", keys["ann"], **change)).status_code == 200
        assert (await patch(client, "chatcmpl-a", keys["ann"], **change)).status_code == 404
        assert len(client._transport.app.state.live_answers) == 0  # type: ignore[attr-defined]


async def test_changes_at_once_are_made_one_after_the_other(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    async with answering(client, engine, request_id="a", objective_weights={"cheerful": 1}):
        await asyncio.gather(
            patch(client, "chatcmpl-a", objective_weights={"concise": 1}),
            patch(client, "chatcmpl-a", guidance={"beta": 3}),
            patch(client, "chatcmpl-a", guidance={"max_kl_per_token": 1}),
        )
    last = engine.requests[-1].guidance
    assert (dict(last.weights), last.beta, last.max_kl_per_token) == ({"concise": 1.0}, 3.0, 1.0)


async def test_companions_that_come_later_count_against_the_keys_limit(engine: FakeEngine) -> None:
    async with app_client(engine, tokens_per_minute=1000) as client:
        async with answering(client, engine, request_id="a", objectives={"pirate": "Arr."}) as task:
            (token,) = (await patch(client, "chatcmpl-a", objective_weights={"pirate": 1})).json()["from_token"]
        used = (await task).json()["usage"]["total_tokens"]
        left = await client.post("/tokenize", json={"prompt": ""})
        beside = len("system:Arr.\nuser:hi\nassistant:") + 30 - token
        assert int(left.headers["x-ratelimit-remaining-tokens"]) == 1000 - used - beside


def test_the_python_helper(live: Live) -> None:
    live.engine.latency = 0.01
    client = openai.OpenAI(base_url=live.url + "/v1", api_key="none")
    stream = client.chat.completions.create(model="fake/model", messages=USER, stream=True, max_tokens=30)
    first = next(stream)
    found = steer(client, first.id, {"cheerful": 2}, max_kl_per_token=0.5)
    assert found["guidance"] == {"beta": None, "max_kl_per_token": 0.5}
    *_, last = stream
    told = guidance_of(last.choices[0])
    assert told is not None and told.changes is not None
    assert [change.token for change in told.changes] == found["from_token"]
    with pytest.raises(openai.NotFoundError):
        steer(client, first.id, {"cheerful": 1})


async def test_the_python_helper_async(live: Live) -> None:
    live.engine.latency = 0.01
    async with openai.AsyncOpenAI(base_url=live.url + "/v1", api_key="none") as client:
        stream = await client.chat.completions.create(model="fake/model", messages=USER, stream=True, max_tokens=30)
        first = await anext(stream)
        found = await steer(client, first.id, {"cheerful": 2}, beta=1)
        assert found["guidance"]["beta"] == 1
        await stream.close()
