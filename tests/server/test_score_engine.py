"""Scores and steered echoes by the real engine, over HTTP, beside what it says of answers that it draws."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.server.real_engine import served

pytestmark = pytest.mark.asyncio(loop_scope="module")
TALK: dict[str, Any] = {"messages": [{"role": "user", "content": "How was your day?"}]}
STEERED: dict[str, Any] = {
    "objective_weights": {"cheerful": 1.5, "pirate": 1, "concise": -0.5},
    "objectives": {"pirate": "Talk like a pirate."}, "temperature": 0.9,
    "guidance": {"beta": 1.5, "top_k": 20, "max_kl_per_token": 0.8},
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The model that ships, with its rewards."""
    async with served(search_rewards=("cheerful", "concise"), max_num_seqs=16) as client:
        yield client


async def post(http: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    response = await http.post(path, json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_a_generated_answer_gets_its_own_report(http: httpx.AsyncClient) -> None:
    """Every number of the report, of three choices, stop tokens included."""
    asked = STEERED | {"guidance": STEERED["guidance"] | {"report": True}}
    extra: dict[str, Any] = {"n": 3, "seed": 5, "max_tokens": 24, "return_token_ids": True}
    drawn = await post(http, "/v1/chat/completions", **TALK, **asked, **extra)
    answers = [choice["token_ids"] for choice in drawn["choices"]]
    found = await post(http, "/v1/score", **TALK, **STEERED, answers=answers)
    for choice, answer in zip(drawn["choices"], found["answers"], strict=True):
        own, given = choice["guidance"], answer["guidance"]
        assert answer["outside"] == 0
        assert [token["token_id"] for token in given["tokens"]] == choice["token_ids"]
        for told, wanted in zip(given["tokens"], own["tokens"], strict=True):
            assert told["values"] == pytest.approx(wanted["values"], abs=1e-4)
            assert told["token"] == wanted["token"]
            numbers = ("token_id", "logprob", "base_logprob", "steering_nats", "truncation_nats")
            assert [told[name] for name in numbers] == pytest.approx([wanted[name] for name in numbers], abs=1e-4)
        for name in ("kl_nats", "steering_nats", "truncation_nats", "beta"):
            assert given[name] == pytest.approx(own[name], abs=1e-3)
        assert given["values"] == pytest.approx(own["values"], abs=1e-4)
        assert answer["logprob"] == pytest.approx(sum(token["logprob"] for token in given["tokens"]))
        assert answer["values"]["cheerful"] == given["tokens"][-1]["values"]["cheerful"]
        assert answer["values"]["pirate"] == pytest.approx(sum(token["values"]["pirate"] for token in given["tokens"]))
        assert set(answer["rewards"]) == {"cheerful", "concise"}


async def test_the_same_answer_as_text(http: httpx.AsyncClient) -> None:
    found = await post(http, "/v1/score", **TALK, **STEERED, answers=["It was great!", "I hate zebras."])
    likely, odd = found["answers"]
    tokens = (await post(http, "/tokenize", prompt="It was great!", add_special_tokens=False))["tokens"]
    again = await post(http, "/v1/score", **TALK, **STEERED, answers=[tokens])
    assert again["answers"][0]["logprob"] == pytest.approx(likely["logprob"], abs=1e-4)
    assert likely["base_logprob"] > odd["base_logprob"]
    assert likely["score"] > odd["score"]
    assert odd["outside"] > 0 and odd["logprob"] is None
    assert likely["rewards"]["cheerful"]["standardised"] > odd["rewards"]["cheerful"]["standardised"]


async def test_a_steered_echo_is_a_distribution_over_all_tokens(http: httpx.AsyncClient) -> None:
    """Finite everywhere; candidates have their steered probability times their base mass, others their own."""
    vocabulary = (await http.get("/tokenizer_info")).json()["vocab_size"]
    begin = (await post(http, "/tokenize", prompt="It was a great"))["tokens"]
    weights = {"cheerful": 2, "pirate": 1}
    guidance = {"top_k": 30, "report": True}
    body: dict[str, Any] = {"echo": True, "logprobs": 1, "max_tokens": 0, "guidance": guidance}
    body |= {"objectives": STEERED["objectives"]}
    (whole,) = (await post(http, "/v1/completions", prompt=begin, **body, objective_weights=weights))["choices"]
    assert all(math.isfinite(p) for p in whole["logprobs"]["token_logprobs"][1:])
    some = range(0, vocabulary, vocabulary // 40)
    prompts = [[*begin, token] for token in some]
    steered, plain = [
        (await post(http, "/v1/completions", prompt=prompts, **body, objective_weights=chosen))["choices"]
        for chosen in (weights, {})
    ]
    scored = await post(
        http, "/v1/score", prompt=begin, objectives=STEERED["objectives"], answers=[[t] for t in some],
        objective_weights=weights, temperature=1, top_p=1, top_k=-1, guidance={"top_k": 30, "allow_empty": True},
    )  # fmt: skip
    for choice, base, answer in zip(steered, plain, scored["answers"], strict=True):
        told, echo = choice["logprobs"]["token_logprobs"][-1], choice["guidance"]["echo"]
        own = [token["base_logprob"] for token in echo["tokens"]]
        assert own == pytest.approx(base["logprobs"]["token_logprobs"][1:], abs=1e-3)
        (token,) = answer["guidance"]["tokens"]
        if token["logprob"] is None:
            assert told == pytest.approx(token["base_logprob"], abs=1e-3)
        else:
            assert told == pytest.approx(token["logprob"] - token["truncation_nats"], abs=1e-3)
        assert echo["kl_per_token"] > 0
        assert "echo" not in base["guidance"]
