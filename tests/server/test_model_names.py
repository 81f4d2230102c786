"""By which names clients may ask for the model: those that are served, or any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from server.steering import MAX_ANY_NAME
from tests.server.conftest import USER, Live, app_client

ANY = ("*",)


async def test_any_name_is_taken_and_carried_by_the_answer() -> None:
    async with app_client(served_model_name=ANY) as client:
        for path, body in (("chat/completions", {"messages": USER}), ("completions", {"prompt": "hi"})):
            answer = await client.post(f"/v1/{path}", json={"model": "gpt-4o", **body})
            assert (answer.status_code, answer.json()["model"]) == (200, "gpt-4o")
        assert (await client.get("/v1/models/gpt-4o")).json()["id"] == "gpt-4o"
        listed = (await client.get("/v1/models")).json()["data"]
        assert [card["id"] for card in listed] == ["fake/model"], "* is no name"
        assert (await client.post("/v1/chat/completions", json={"messages": USER})).json()["model"] == "fake/model"


async def test_a_preset_is_found_behind_any_name(tmp_path: Path) -> None:
    file = tmp_path / "presets.yaml"
    file.write_text("warm: {objective_weights: {cheerful: 1}}")
    async with app_client(served_model_name=("mine", "*"), presets=file) as client:
        for model, source in (
            ("gpt-4o:warm", "preset"),
            ("llama3:8b", "none"),
            ("mine:warm", "preset"),
            (":warm", "none"),
        ):
            answer = (await client.post("/v1/chat/completions", json={"model": model, "messages": USER})).json()
            assert (answer["model"], answer["choices"][0]["guidance"]["source"]) == (model, source)
        listed = (await client.get("/v1/models")).json()["data"]
        assert [card["id"] for card in listed] == ["mine", "mine:warm"]


@pytest.mark.parametrize("names", [("mine",), ANY])
async def test_what_is_refused_says_how_it_would_not_be(names: tuple[str, ...]) -> None:
    model = "gpt-4o" if names == ("mine",) else "x" * (MAX_ANY_NAME + 1)
    async with app_client(served_model_name=names) as client:
        answer = await client.post("/v1/chat/completions", json={"model": model, "messages": USER})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "--served-model-name '*' takes any name" in error["message"]
    assert len(error["message"]) < 600


def test_the_official_client_runs_unchanged(serve: Callable[..., Live], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a program does that only its environment tells where to go."""
    live = serve(served_model_name=ANY)
    monkeypatch.setenv("OPENAI_BASE_URL", live.url + "/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    answer = openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=USER)
    assert (answer.model, bool(answer.choices[0].message.content)) == ("gpt-4o-mini", True)
