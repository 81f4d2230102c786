"""Objectives in words over HTTP: every way in, what is refused, and what the admin adds."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from rich.console import Console

from mavis_core.api.messages import Request
from server.objectives.declared import SHIPPED_FILE, Declared
from server.terminal.local import LocalBackend
from server.terminal.repl import Repl
from server.weights import HEADER
from tests.server.conftest import USER, app_client
from tests.server.fake_engine import FakeEngine, FakeTokenizer

ADMIN = "admin-key-0123456789"
PIRATE = {"pirate": "Talk like a pirate."}
CHAT = "/v1/chat/completions"


@pytest.fixture
async def shipped(engine: FakeEngine, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A server with the shipped set, of which loaded heads hide two, one of the operator's own, and an admin."""
    own = tmp_path / "objectives.yaml"
    own.write_text("terse: {instruction: Say little., weight_range: [-1, 2]}")
    sources = ("shipped", str(own))
    async with app_client(engine, objectives=sources, admin_api_key=ADMIN, max_request_objectives=2) as client:
        client.headers["authorization"] = f"Bearer {ADMIN}"
        yield client


async def ask(client: httpx.AsyncClient, path: str = CHAT, headers: Any = None, **body: Any) -> httpx.Response:
    prompts: dict[str, dict[str, Any]] = {
        CHAT: {"messages": USER},
        "/v1/responses": {"input": "hi"},
        "/v1/completions": {"prompt": "hi"},
    }
    limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
    return await client.post(path, json={**prompts[path], limit: 2, **body}, headers=headers)


def told(request: Request) -> dict[str, str]:
    """The instructed conversations of a request."""
    return {o.name: FakeTokenizer().decode(o.prompt_token_ids) for o in request.prompted}


async def error(response: httpx.Response) -> tuple[int, str, str]:
    found = response.json()["error"]
    return response.status_code, found["message"], found["param"]


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
async def test_a_request_brings_its_own(client: httpx.AsyncClient, engine: FakeEngine, path: str) -> None:
    weights = {"pirate": 2, "cheerful": -1}
    response = await ask(client, path, objectives=PIRATE, objective_weights=weights)
    assert response.status_code == 200, response.text
    (one,) = engine.requests
    assert one.guidance.weights == weights
    assert told(one) == {"pirate": "system:Talk like a pirate.\nuser:hi\nassistant:"}
    assert one.places == 2
    body = response.json()
    assert (body["guidance"] if path != CHAT else body["choices"][0]["guidance"])["weights"] == weights
    metrics = (await client.get("/metrics")).text
    assert 'mavis:requests_by_objective_total{objective="(request)"} 1.0' in metrics
    assert 'objective="pirate"' not in metrics, "a client cannot make series"


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
async def test_a_limit_is_at_most_what_the_longest_prompt_leaves(
    client: httpx.AsyncClient, engine: FakeEngine, path: str
) -> None:
    limit = {"max_tokens" if path == CHAT else "max_output_tokens": 9000}
    response = await ask(client, path, objectives=PIRATE, objective_weights={"pirate": 1}, **limit)
    assert response.status_code == 200, response.text
    (one,) = engine.requests
    assert one.sampling.max_tokens == engine.info.max_model_len - max(map(len, one.prompts))


async def test_weights_come_every_way(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    await client.put("/v1/preferences/ann", json={"objective_weights": {"concise": 1}})
    for sent in (
        {"objective_weights": {"pirate": 1}},
        {"headers": {HEADER: "pirate=1"}},
    ):
        assert (await ask(client, objectives=PIRATE, **sent)).status_code == 200
        assert told(engine.requests[-1]).keys() == {"pirate"}
    assert (await ask(client, objectives=PIRATE, user="ann")).status_code == 200
    assert engine.requests[-1].prompted == (), "without a weight it is not looked at"
    inactives: tuple[dict[str, Any], ...] = (
        {"objective_weights": {"pirate": 0}},
        {"objective_weights": {"pirate": 1}, "guidance": {"beta": 0}},
    )
    for inactive in inactives:
        assert (await ask(client, objectives=PIRATE, **inactive)).status_code == 200
        assert engine.requests[-1].prompted == ()


async def test_the_servers_default_and_stored_weights_may_name_declared_ones(engine: FakeEngine) -> None:
    async with app_client(engine, objectives=("shipped",), objective_weights={"vivid": 1}) as client:
        await client.put("/v1/preferences/ann", json={"objective_weights": {"formal": 1}})
        for sent, name in (({}, "vivid"), ({"user": "ann"}, "formal")):
            assert (await ask(client, **sent)).status_code == 200
            assert told(engine.requests[-1]).keys() == {name}
        assert (await client.put("/v1/preferences/bob", json={"objective_weights": {"pirate": 1}})).status_code == 400


async def test_a_preset_may_bring_its_own(shipped: httpx.AsyncClient, engine: FakeEngine, tmp_path: Path) -> None:
    preset = {"objective_weights": {"pirate": 1.5, "cheerful": 1}, "objectives": PIRATE, "guidance": {"beta": 1.0}}
    assert (await shipped.put("/v1/presets/arr", json=preset)).status_code == 200
    assert "fake/model:arr" in (await shipped.get("/v1/models")).text
    assert (await ask(shipped, model="fake/model:arr")).status_code == 200
    assert told(engine.requests[-1]) == {"pirate": "system:Talk like a pirate.\nuser:hi\nassistant:"}
    assert (await ask(shipped, model="fake/model:arr", objectives={"pirate": "Say arr."})).status_code == 200
    assert told(engine.requests[-1]) == {"pirate": "system:Say arr.\nuser:hi\nassistant:"}
    clash = {"objective_weights": {"vivid": 1}, "objectives": {"vivid": "x"}}
    assert (await error(await shipped.put("/v1/presets/bad", json=clash)))[::2] == (400, "objectives.vivid")
    await shipped.put("/v1/objectives/pirate", json={"instruction": "Aye."})
    status, message, param = await error(await ask(shipped, model="fake/model:arr"))
    assert (status, param) == (400, "model")
    assert message.startswith("the preset: objectives.pirate: this server has an objective of that name")
    file = tmp_path / "presets.yaml"
    file.write_bytes(b"arr: " + orjson.dumps(preset))
    async with app_client(engine, presets=file) as client:
        assert (await ask(client, model="fake/model:arr")).status_code == 200
        assert told(engine.requests[-1]).keys() == {"pirate"}


async def test_an_instruction_that_says_nothing_is_the_conversation_itself(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    assert (await ask(client, objectives={"x": " \n"}, objective_weights={"x": 3})).status_code == 200
    (one,) = engine.requests
    assert one.prompted[0].prompt_token_ids == one.prompt_token_ids
    assert one.places == 1


async def test_in_front_of_a_text(shipped: httpx.AsyncClient, engine: FakeEngine) -> None:
    """A text is no conversation: an instruction stands in front of it, a blank line between."""
    weights = {"pirate": 1, "terse": -1, "mute": 1}
    instructions = {**PIRATE, "mute": "  "}
    answer = await ask(
        shipped, "/v1/completions", objectives=instructions, objective_weights=weights, prompt=["hi", "ho"]
    )
    assert answer.status_code == 200
    for request, text in zip(engine.requests, ("hi", "ho"), strict=True):
        assert told(request) == {
            "pirate": f"Talk like a pirate.\n\n{text}", "terse": f"Say little.\n\n{text}", "mute": text,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "message", "param"),
    [
        (CHAT, {"objectives": {"cheerful": "x"}}, "this server has an objective of that name", "objectives.cheerful"),
        (CHAT, {"objectives": {"vivid": "x"}}, "this server has an objective of that name", "objectives.vivid"),
        (CHAT, {"objectives": {"a": "x", "b": "x", "c": "x"}}, "has 3 entries: at most 2", "objectives"),
        (CHAT, {"objectives": {"a": "x" * 501}}, "at most 500 characters", "objectives.a"),
        (CHAT, {"objectives": {"a=b": "x"}}, "='a=b': must be 1 to 64 characters without '='", "objectives.a=b"),
        (CHAT, {"objectives": {"a": 1}}, "must be string", "objectives.a"),
        (CHAT, {"objectives": {"a": "x"}, "objective_weights": {"b": 1}}, "unknown objective 'b'", "objective_weights"),
        (CHAT, {"objectives": {"a": "x"}, "objective_weights": {"a": 17}}, "a=17", "objective_weights.a"),
        (CHAT, {"objective_weights": {"terse": 3}}, "terse=3", "objective_weights.terse"),
        (
            CHAT,
            {"objectives": {"a": "x"}, "objective_weights": {"a": 1}, "truncate_prompt_tokens": 4},
            "must be read whole",
            "truncate_prompt_tokens",
        ),
    ],
)
async def test_what_is_wrong_is_named(
    shipped: httpx.AsyncClient, engine: FakeEngine, path: str, body: Any, message: str, param: str
) -> None:
    status, said, named = await error(await ask(shipped, path, **body))
    assert (status, named) == (400, param)
    assert message in said
    assert not engine.requests


async def test_they_can_be_turned_off(engine: FakeEngine) -> None:
    async with app_client(engine, max_request_objectives=0) as client:
        assert (await error(await ask(client, objectives=PIRATE)))[
            1
        ] == "objectives: has 1 entries: this server takes none"
        assert (await ask(client, objectives={})).status_code == 200


async def test_a_template_that_takes_no_instruction_has_none(engine: FakeEngine) -> None:
    deaf = "{% for m in messages %}x{% endfor %}"
    async with app_client(engine, objectives=("shipped",), tokenizer_template=deaf) as client:
        assert [card["name"] for card in (await client.get("/v1/objectives")).json()["data"]] == ["cheerful", "concise"]
        assert (await error(await ask(client, objectives=PIRATE)))[2] == "objectives"


async def test_declared_ones_are_listed_behind_the_loaded_and_steer(
    shipped: httpx.AsyncClient, engine: FakeEngine
) -> None:
    cards = {card["name"]: card for card in (await shipped.get("/v1/objectives")).json()["data"]}
    assert list(cards)[:2] == ["cheerful", "concise"]
    assert (cards["cheerful"]["kind"], cards["cheerful"]["instruction"]) == ("head", None)
    terse = cards["terse"]
    assert (terse["kind"], terse["instruction"], terse["weight_range"]) == ("prompted", "Say little.", [-1, 2])
    assert (terse["recommended_beta"], terse["additive"]) == (1.0, True)
    assert SHIPPED_FILE.exists() and "vivid" in cards
    assert (await ask(shipped, objective_weights={"terse": 1, "vivid": 0, "cheerful": 1})).status_code == 200
    assert told(engine.requests[-1]).keys() == {"terse"}
    assert 'objective="terse"' in (await shipped.get("/metrics")).text


async def test_the_admin_adds_and_removes(shipped: httpx.AsyncClient, engine: FakeEngine) -> None:
    put = await shipped.put("/v1/objectives/pirate", json={"instruction": "Arr."})
    assert (put.status_code, put.json()["weight_range"]) == (200, [-4, 4])
    assert (await ask(shipped, objective_weights={"pirate": 1})).status_code == 200
    assert told(engine.requests[-1]) == {"pirate": "system:Arr.\nuser:hi\nassistant:"}
    await shipped.put("/v1/objectives/pirate", json={"instruction": "Aye."})
    assert (await ask(shipped, objective_weights={"pirate": 1})).status_code == 200
    assert told(engine.requests[-1]) == {"pirate": "system:Aye.\nuser:hi\nassistant:"}
    await shipped.put("/v1/presets/p", json={"objective_weights": {"pirate": 1}})
    status, message, _ = await error(await shipped.delete("/v1/objectives/pirate"))
    assert (status, message) == (409, "objective 'pirate' is in use: preset 'p' names 'pirate'")
    await shipped.delete("/v1/presets/p")
    assert (await shipped.delete("/v1/objectives/pirate")).json() == {
        "id": "pirate", "object": "objective.deleted", "deleted": True
    }  # fmt: skip
    assert (await ask(shipped, objective_weights={"pirate": 1})).status_code == 400
    assert (await shipped.delete("/v1/objectives/pirate")).status_code == 404
    assert (await shipped.delete("/v1/objectives/vivid")).status_code == 200, "one that ships may go too"


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("cheerful", {"instruction": "x"}, 409),
        ("a=b", {"instruction": "x"}, 400),
        ("x", {"instruction": " "}, 400),
        ("x", {"instruction": "x", "weight_range": [0, 0]}, 400),
        ("x", {"instruction": "x", "weight_range": [1]}, 400),
        ("x", {}, 400),
    ],
)
async def test_what_the_admin_may_not(shipped: httpx.AsyncClient, name: str, body: Any, status: int) -> None:
    assert (await shipped.put(f"/v1/objectives/{name}", json=body)).status_code == status


async def test_only_the_admin_may(shipped: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    shipped.headers.pop("authorization")
    assert (await shipped.put("/v1/objectives/x", json={"instruction": "x"})).status_code == 403
    assert (await shipped.delete("/v1/objectives/vivid")).status_code == 403
    assert (await client.put("/v1/objectives/x", json={"instruction": "x"})).status_code in (404, 405)


async def test_a_value_that_is_loaded_later_hides_a_declared_one(shipped: httpx.AsyncClient, tmp_path: Path) -> None:
    async def kind() -> str:
        cards = (await shipped.get("/v1/objectives")).json()["data"]
        return next(str(card["kind"]) for card in cards if card["name"] == "vivid")

    assert await kind() == "prompted"
    engine: Any = shipped._transport.app.state.service.engine  # type: ignore[attr-defined]
    await engine.load_value("somewhere/vivid")
    assert await kind() == "lm"
    await engine.unload_value("vivid")
    assert await kind() == "prompted"


async def test_limits_of_tokens_count_companions(engine: FakeEngine, tmp_path: Path) -> None:
    """Of 400: a prompt of 18 and 2 tokens, then beside a prompt of 46 and 2 tokens."""
    plain, instructed = len("user:hi\nassistant:"), len("system:Talk like a pirate.\nuser:hi\nassistant:")
    async with app_client(engine, tokens_per_minute=400) as client:
        response = await ask(client)
        left = int(response.headers["x-ratelimit-remaining-tokens"])
        assert left == 400 - plain - 2
        response = await ask(client, objectives=PIRATE, objective_weights={"pirate": 1})
        assert left - int(response.headers["x-ratelimit-remaining-tokens"]) == plain + instructed + 2 * 2


async def test_the_terminal_knows_them_too(engine: FakeEngine) -> None:
    said = iter(["/weights vivid=2", "hi", "/quit"])
    console = Console(file=io.StringIO(), width=120)

    async def read() -> str:
        return next(said)

    await Repl(LocalBackend(engine, FakeTokenizer, Declared.read(["shipped"], False)), console, read).run()
    assert told(engine.requests[-1]).keys() == {"vivid"}
    assert engine.requests[-1].guidance.weights == {"vivid": 2.0}
