"""Values of the model that ships, unloaded and loaded over HTTP while a request streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Served
from value_models.loading import SHIPPED_HEADS

ADMIN = "admin-key-0123456789"
USER = [{"role": "user", "content": "How was your day?"}]


def chat(api: httpx.Client, **body: Any) -> httpx.Response:
    return api.post("/v1/chat/completions", json={"messages": USER, "max_tokens": 12, "seed": 1, **body})


def objectives(api: httpx.Client) -> list[str]:
    return [card["name"] for card in api.get("/v1/objectives").json()["data"]]


@pytest.mark.parametrize("where", [(), ("--engine-process",)])
def test_heads_make_way_for_an_lm(start_server: Callable[..., Served], where: tuple[str, ...]) -> None:
    server = start_server("--admin-api-key", ADMIN, "--values-dir", str(SHIPPED_HEADS), *where)
    headers = {"authorization": f"Bearer {ADMIN}"}
    with httpx.Client(base_url=server.url, timeout=60, headers=headers) as api:
        names = [card["name"] for card in api.get("/v1/values").json()["data"]]
        assert names == ["cheerful", "concise", "curious", "factual"]
        steered = chat(api, objective_weights={"cheerful": 1}).json()["choices"][0]
        assert api.post("/v1/values", json={"source": "shipped:lm"}).json()["error"]["code"] == "value_conflict"
        body = {"messages": USER, "max_tokens": 300, "stream": True, "ignore_eos": True, "seed": 2}
        with api.stream("POST", "/v1/chat/completions", json=body | {"objective_weights": {"concise": -1}}) as stream:
            lines = stream.iter_lines()
            next(lines)
            assert api.delete("/v1/values/concise").status_code == 409
            assert api.delete("/v1/values/cheerful").status_code == 200
            assert chat(api, objective_weights={"cheerful": 1}).json()["error"]["code"] == "unknown_objective"
            assert api.post("/v1/values", json={"source": "cheerful"}).status_code == 200
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert chat(api, objective_weights={"cheerful": 1}).json()["choices"][0]["message"] == steered["message"]
        for source in ("shipped:heads#cheerful", "shipped:heads"):  # one of several values alone, or what is missing
            assert api.delete("/v1/values/cheerful").status_code == 200
            assert api.post("/v1/values", json={"source": source}).status_code == 200
            assert sorted(objectives(api)) == names
        assert api.post("/v1/values", json={"source": "shipped:heads"}).json()["error"]["code"] == "value_conflict"
        unknown = api.post("/v1/values", json={"source": "shipped:heads#sad"}).json()["error"]
        assert (unknown["code"], unknown["param"]) == ("value_refused", "source")
        assert "there are: cheerful, concise, curious, factual" in unknown["message"]
        assert chat(api, objective_weights={"cheerful": 1}).json()["choices"][0]["message"] == steered["message"]
        for name in names:
            assert api.delete(f"/v1/values/{name}").status_code == 200
        assert objectives(api) == []
        assert api.post("/v1/values", json={"source": "shipped:lm"}).json()["data"][0]["kind"] == "lm"
        assert objectives(api) == names
        by_lm = chat(api, objective_weights={"cheerful": 1}).json()["choices"][0]
        assert by_lm["guidance"]["steering_nats"] > 0
