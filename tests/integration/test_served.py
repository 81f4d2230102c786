"""The model that ships behind the real server: guided answers through the official client, and abuse.

What a unit test shows on fakes is shown here once more on the whole: process, socket, engine, values.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI

from tests.integration.conftest import Served

USER: list[Any] = [{"role": "user", "content": "How was your day?"}]
OBJECTIVES = {"cheerful", "concise", "curious", "factual"}


def ask(served: Served, **body: Any) -> Any:
    response = httpx.post(f"{served.url}/v1/chat/completions", json={"messages": USER, **body}, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def test_the_official_client_streams_a_guided_answer(served: Served) -> None:
    client = OpenAI(base_url=f"{served.url}/v1", api_key="none")
    stream = client.chat.completions.create(
        model=client.models.list().data[0].id,
        messages=USER,
        seed=1,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"objective_weights": {"cheerful": 1.0, "concise": 0.5}},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    last: Any = [chunk for chunk in chunks if chunk.choices][-1].choices[0]
    assert text.strip()
    assert last.finish_reason in ("stop", "length")
    assert last.guidance["weights"] == {"cheerful": 1.0, "concise": 0.5}
    assert last.guidance["source"] == "body"
    assert last.guidance["kl_nats"] > 0
    assert set(last.guidance["values"]) == {"cheerful", "concise"}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_objectives_in_words_are_their_own_requests(served: Served) -> None:
    """Beside a head, streamed through the official client, alone and among others that bring other ones."""
    body: dict[str, Any] = {"seed": 3, "max_tokens": 12, "objective_weights": {"moon": 2, "cheerful": 1}}
    alone = ask(served, **body, objectives={"moon": "Speak of the moon."})
    assert alone["guidance"]["companion_tokens"] > 12
    assert set(alone["guidance"]["values"]) == {"moon", "cheerful"}
    others = [{**body, "seed": i, "objectives": {"moon": f"Speak of the {what}."}} for i, what in enumerate("abc")]
    found: list[Any] = []
    crowd = [threading.Thread(target=lambda one=one: found.append(ask(served, **one))) for one in others]
    for thread in crowd:
        thread.start()
    client = OpenAI(base_url=f"{served.url}/v1", api_key="none")
    stream = client.chat.completions.create(
        model=client.models.list().data[0].id,
        messages=USER,
        seed=3,
        max_tokens=12,
        stream=True,
        extra_body={"objectives": {"moon": "Speak of the moon."}, "objective_weights": body["objective_weights"]},
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    for thread in crowd:
        thread.join(60)
    assert text == alone["message"]["content"]
    assert len(found) == 3


def test_weights_zero_are_the_base_model(served: Served) -> None:
    plain = ask(served, seed=5)
    zeros = ask(served, seed=5, objective_weights={"cheerful": 0, "curious": 0})
    off = ask(served, seed=5, objective_weights={"cheerful": 1}, guidance={"beta": 0})
    guided = ask(served, seed=5, objective_weights={"cheerful": 8})
    assert plain["message"] == zeros["message"] == off["message"]
    assert plain["guidance"]["kl_nats"] == zeros["guidance"]["kl_nats"] == 0
    assert guided["message"] != plain["message"]


def test_the_kl_budget_holds_at_every_token(served: Served) -> None:
    choice = ask(
        served,
        seed=2,
        max_tokens=30,
        objective_weights={"cheerful": 16},
        guidance={"max_kl_per_token": 0.1, "report": True},
    )
    steps = choice["guidance"]["tokens"]
    assert len(steps) > 0
    assert all(step["steering_nats"] <= 0.1 + 1e-4 for step in steps)
    assert any(step["steering_nats"] > 0.05 for step in steps)


def test_chunk_search_streams_what_it_answers_at_once(served: Served) -> None:
    """Chunks of four tokens; the same text both ways; choosing earns more of the value than the tilt alone."""
    body: dict[str, Any] = {"messages": USER, "seed": 3, "max_tokens": 20, "objective_weights": {"cheerful": 1.0}}
    search = {"search": {"method": "chunk", "beams": 1, "successors": 6, "chunk_tokens": 4}}
    client = OpenAI(base_url=f"{served.url}/v1", api_key="none")
    choice = ask(served, **body, guidance=search)
    report = choice["guidance"]["search"]
    assert (report["method"], report["samples"]) == ("chunk", 6 * report["rounds"])
    assert report["kl_bound_nats"] == pytest.approx(report["rounds"] * (math.log(6) - 5 / 6))
    model = client.models.list().data[0].id
    extra = {"objective_weights": {"cheerful": 1.0}, "guidance": search}
    stream = client.chat.completions.create(
        model=model, messages=USER, seed=3, max_tokens=20, stream=True, extra_body=extra
    )
    chunks = [chunk.choices[0] for chunk in stream]
    pieces = [chunk.delta.content for chunk in chunks if chunk.delta.content]
    assert "".join(pieces) == choice["message"]["content"]
    assert 1 < len(pieces) <= report["rounds"] + 1
    last: Any = chunks[-1]
    assert last.guidance["search"] == report
    served.wait_idle()


@pytest.mark.parametrize(
    "search",
    [{"method": "best_of", "successors": 8, "tilt": False}, {"method": "beam", "beams": 3, "successors": 5}],
)
def test_other_searches_answer_too(served: Served, search: dict[str, Any]) -> None:
    body: dict[str, Any] = {"seed": 3, "max_tokens": 12, "objective_weights": {"cheerful": 1.0}}
    choice = ask(served, **body, guidance={"search": search})
    assert choice["message"]["content"].strip()
    assert choice["guidance"]["search"]["method"] == search["method"]
    assert (choice["guidance"]["steering_nats"] < 1e-3) == (search["method"] == "best_of")
    assert choice == ask(served, **body, guidance={"search": search})


def test_a_search_without_a_loaded_reward_is_refused(served: Served) -> None:
    client = OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
    guidance = {"search": {"method": "best_of", "scorer": "rewards"}}
    body = {"model": "mavis-small", "messages": USER, "objective_weights": {"cheerful": 1}, "guidance": guidance}
    for stream in (True, False):
        with pytest.raises(BadRequestError, match="no reward is loaded for cheerful"):
            client.post("/chat/completions", body=body | {"stream": stream}, cast_to=object)
    served.wait_idle()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 2}, "n"),
    ],
)
def test_what_a_search_cannot_do_is_refused_in_the_clients_words(
    served: Served, body: dict[str, Any], param: str
) -> None:
    search = {"objective_weights": {"cheerful": 1}, "guidance": {"search": {"method": "best_of"}}}
    response = httpx.post(f"{served.url}/v1/chat/completions", json={"messages": USER, **search, **body}, timeout=60)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param and error["message"].startswith(param)
    served.wait_idle()


def test_every_endpoint_searches(served: Served) -> None:
    body = {"objective_weights": {"cheerful": 1}, "guidance": {"search": {"method": "best_of", "successors": 3}}}
    made = httpx.post(f"{served.url}/v1/responses", json={"input": "Hi!", "max_output_tokens": 16, **body}, timeout=60)
    assert made.json()["guidance"]["search"]["samples"] == 3, made.text
    text = {"prompt": ["Hi!", "Bye!"], "max_tokens": 6, **body}
    made = httpx.post(f"{served.url}/v1/completions", json=text, timeout=60)
    assert [choice["guidance"]["search"]["samples"] for choice in made.json()["choices"]] == [3, 3], made.text
    assert made.json()["usage"]["completion_tokens"] <= 12


def test_rewards_choose_where_they_are_loaded(start_server: Callable[..., Served]) -> None:
    """The shortest of eight answers by its words: as good as any of the eight that can be drawn alone."""
    served = start_server("--search-rewards", "concise")
    search = {"method": "best_of", "successors": 8, "scorer": "rewards", "tilt": False}
    choice = ask(served, seed=3, max_tokens=40, objective_weights={"concise": 1}, guidance={"search": search})
    words = len(choice["message"]["content"].split())
    (objective,) = [o for o in httpx.get(f"{served.url}/v1/objectives").json()["data"] if o["name"] == "concise"]
    expected = (max(-3.0, -words / 20) - objective["reward_mean"]) / objective["reward_std"]
    assert choice["guidance"]["search"]["score"] == pytest.approx(expected)


def test_a_client_that_leaves_a_search_leaves_no_row(served: Served) -> None:
    body = {
        "messages": USER,
        "ignore_eos": True,
        "objective_weights": {"curious": 1},
        "guidance": {"search": {"method": "chunk", "beams": 2, "successors": 4, "chunk_tokens": 3}},
    }
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=1.5)
    served.wait_idle()
    with httpx.stream(
        "POST", f"{served.url}/v1/chat/completions", json=body | {"stream": True}, timeout=30
    ) as response:
        chunks = response.iter_bytes()  # held: dropping the iterator closes the connection
        next(chunks)
    served.wait_idle()


def test_objectives_are_described(served: Served) -> None:
    listed = httpx.get(f"{served.url}/v1/objectives").json()["data"]
    assert {entry["name"] for entry in listed} == OBJECTIVES
    assert all(entry["recommended_beta"] > 0 and math.isfinite(entry["reward_mean"]) for entry in listed)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, "the prompt has 3005 tokens"),
        ({"objective_weights": {"helpful": 1}}, "cheerful"),
        ({"objective_weight": {"cheerful": 1}}, "objective_weights"),
        ({"objective_weights": {"cheerful": 1e9}}, "objective_weights.cheerful"),
        ({"objective_weights": {"cheerful": "much"}}, "objective_weights"),
        ({"objective_weights": {"cheerful": 1}, "guidance": {"top_k": 0}}, "guidance.top_k"),
        ({"temperature": -1}, "temperature"),
        ({"n": "three"}, "n"),
    ],
)
def test_bad_input_names_the_culprit(served: Served, body: dict[str, Any], names: str) -> None:
    client = OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(BadRequestError) as refused:
        client.post("/chat/completions", body={"model": "mavis-small", "messages": USER, **body}, cast_to=object)
    assert names in str(refused.value)
    ask(served, max_tokens=1)


def test_broken_bodies(served: Served) -> None:
    url, kind = f"{served.url}/v1/chat/completions", {"content-type": "application/json"}
    bodies: dict[bytes, int] = {
        b"{": 400,
        b"[]": 400,
        b"\xff\xfe": 400,
        b'{"messages": [], "objective_weights": {"cheerful": NaN}}': 400,
        b'{"a":' * 5000 + b"1" + b"}" * 5000: 400,
        b'{"x": "' + b"a" * 5_000_000 + b'"}': 413,
    }
    for body, status in bodies.items():
        response = httpx.post(url, content=body, headers=kind, timeout=60)
        assert response.status_code == status, (body[:40], response.text[:200])
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    ask(served, max_tokens=1)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_leaves_no_row(served: Served, stream: bool) -> None:
    body = {
        "prompt": list(range(10, 40)),
        "max_tokens": 900,
        "ignore_eos": True,
        "n": 3,
        "objective_weights": {"curious": 1},
        "stream": stream,
    }
    if stream:
        with httpx.stream("POST", f"{served.url}/v1/completions", json=body, timeout=30) as response:
            chunks = response.iter_bytes()  # held: dropping the iterator closes the connection
            next(chunks)
            served.wait_for("mavis:num_requests_running", 3)
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served.url}/v1/completions", json=body, timeout=1.0)
    served.wait_idle()
    ask(served, max_tokens=1)


async def test_300_requests_at_once(served: Served) -> None:
    limits = httpx.Limits(max_connections=300)
    async with httpx.AsyncClient(base_url=served.url, timeout=110, limits=limits) as client:

        async def one(i: int) -> int:
            weights = {"cheerful": (i % 5) - 2.0, "concise": (i % 3) - 1.0}
            body = {"messages": USER, "max_tokens": 4, "objective_weights": weights, "stream": i % 2 == 0}
            response = await client.post("/v1/chat/completions", json=body)
            if response.status_code == 429:
                assert int(response.headers["retry-after"]) >= 1
            return response.status_code

        statuses = await asyncio.gather(*(one(i) for i in range(300)))
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 16
    served.wait_idle()
    ask(served, max_tokens=1)


def test_sigterm_lets_an_answer_finish(start_server: Callable[..., Served]) -> None:
    served = start_server("--drain-timeout", "30", whole=True)
    found: list[Any] = []
    body = {"prompt": list(range(10, 40)), "max_tokens": 200, "ignore_eos": True}
    asking = threading.Thread(
        target=lambda: found.append(httpx.post(f"{served.url}/v1/completions", json=body, timeout=60))
    )
    asking.start()
    served.wait_for("mavis:num_requests_running", 1)
    served.process.send_signal(signal.SIGTERM)
    asking.join(60)
    assert found[0].status_code == 200
    assert found[0].json()["usage"]["completion_tokens"] == 200
    assert served.process.wait(30) == 0


def test_a_message_has_the_words_of_a_chat(served: Served) -> None:
    """The same conversation, seed and weights through Anthropic's door, whole and streamed."""
    steered = {"seed": 5, "objective_weights": {"cheerful": 1}, "max_tokens": 24, "messages": USER}
    chat = ask(served, **steered)
    whole = httpx.post(f"{served.url}/v1/messages", json=steered, timeout=60).json()
    assert [block["text"] for block in whole["content"]] == [chat["message"]["content"]]
    assert whole["guidance"] == chat["guidance"]
    assert (whole["stop_reason"] == "max_tokens") == (chat["finish_reason"] == "length")
    streamed = httpx.post(f"{served.url}/v1/messages", json=steered | {"stream": True}, timeout=60).text
    said = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: ")]
    assert "".join(event["delta"].get("text", "") for event in said if "delta" in event) == chat["message"]["content"]
    served.wait_idle()
