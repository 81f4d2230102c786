"""``POST /v1/score`` over HTTP: what is told of given answers, what is refused, and what it counts as."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from server.protocol.score import Scores
from tests.server.conftest import USER, app_client
from tests.server.fake_engine import STEERING, TRUNCATION, FakeEngine, FakeTokenizer

SCORE = "/v1/score"
WEIGHTS = {"cheerful": 1, "concise": -0.5}


async def ask(client: httpx.AsyncClient, headers: Any = None, **body: Any) -> httpx.Response:
    return await client.post(SCORE, json={"messages": USER, "answers": ["ab"], **body}, headers=headers)


async def test_answers_with_their_tokens(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    response = await ask(client, answers=["ab", [99, 122]], objective_weights=WEIGHTS, model="fake/model")
    made = response.json()
    Scores.model_validate(made)
    assert (response.status_code, made["object"], made["model"]) == (200, "score", "fake/model")
    first, second = made["answers"]
    assert (first["index"], first["logprob"], first["base_logprob"], first["outside"]) == (0, -1.0, -1.5, 0)
    assert first["values"] == {"cheerful": 2, "concise": -1}
    assert first["score"] == 2.5
    assert "rewards" not in first
    guidance = first["guidance"]
    assert (guidance["weights"], guidance["source"], guidance["beta"]) == (WEIGHTS, "body", 1.5)
    assert guidance["kl_nats"] == pytest.approx(2 * (STEERING + TRUNCATION))
    assert guidance["tokens"] == [
        {"token": letter, "token_id": ord(letter), "logprob": -0.5, "base_logprob": -0.75, "steering_nats": STEERING,
         "truncation_nats": TRUNCATION, "values": {"cheerful": 2, "concise": -1}, "steered": True}
        for letter in "ab"
    ]  # fmt: skip
    assert (second["logprob"], second["base_logprob"], second["outside"]) == (None, -1.5, 1)
    assert [token["logprob"] for token in second["guidance"]["tokens"]] == [-0.5, None]
    prompt = len("user:hi\nassistant:")
    assert made["usage"]["prompt_tokens"] == made["usage"]["total_tokens"] == prompt + 4
    assert made["usage"]["completion_tokens"] == 0
    [request] = engine.requests
    assert request.answers == ((97, 98), (99, 122))
    assert FakeTokenizer().decode(request.prompt_token_ids) == "user:hi\nassistant:"


async def test_without_weights_both_are_the_base_model(client: httpx.AsyncClient) -> None:
    (answer,) = (await ask(client)).json()["answers"]
    assert (answer["logprob"], answer["base_logprob"], answer["score"]) == (-1.5, -1.5, None)
    assert (answer["guidance"]["kl_nats"], answer["values"], len(answer["guidance"]["tokens"])) == (0, {}, 2)


async def test_sampling_guidance_and_weights_reach_the_engine(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    guidance = {"beta": 2, "top_k": 7, "max_kl_per_token": 0.3, "normalise": "minmax", "allow_empty": True}
    headers = {"x-objective-weights": "cheerful=1"}
    body = {"temperature": 0.5, "top_p": 0.9, "stop": "b", "stop_token_ids": [5], "min_tokens": 7, "cache_salt": "s"}
    response = await ask(client, headers, prompt=[104, 105], messages=None, guidance=guidance, **body)
    assert response.status_code == 200
    [request] = engine.requests
    assert (request.prompt_token_ids, request.cache_salt) == ((104, 105), "s")
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.stop, sampling.min_tokens) == (0.5, 0.9, (), 7)
    assert (request.guidance.beta, request.guidance.top_k, request.guidance.max_kl_per_token) == (2, 7, 0.3)
    assert (request.guidance.weights, request.guidance.allow_empty) == ({"cheerful": 1}, True)


async def test_objectives_in_words(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    words = {"objectives": {"pirate": "Arr."}, "objective_weights": {"pirate": 1}}
    (answer,) = (await ask(client, **words)).json()["answers"]
    assert answer["values"] == {"pirate": 4}  # in words they add up
    await ask(client, prompt="hi", messages=None, **words)
    told = [FakeTokenizer().decode(request.prompted[0].prompt_token_ids) for request in engine.requests]
    assert told == ["system:Arr.\nuser:hi\nassistant:", "Arr.\n\nhi"]


async def test_rewards_where_the_server_has_them(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.rewarding = True
    made = (await ask(client, answers=["ab", "c"])).json()
    Scores.model_validate(made)
    assert [answer["rewards"] for answer in made["answers"]] == [
        {"cheerful": {"raw": 0.2, "standardised": pytest.approx(0.2)}, "polite": {"raw": 1, "standardised": None}},
        {"cheerful": {"raw": 0.1, "standardised": pytest.approx(0)}, "polite": {"raw": 1, "standardised": None}},
    ]


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"answers": None}, "answers", "must be"),
        ({"answers": []}, "answers", "at least 1 item"),
        ({"answers": ["a"] * 129}, "answers", "at most 128 items"),
        ({"answers": [1]}, "answers[0]", "must be"),
        ({"answers": ["a", ""]}, "answers[1]", "answers[1] has no tokens: must have at least one"),
        ({"answers": ["a", []]}, "answers[1]", "at least 1 item"),
        ({"answers": [[300]]}, "answers[0]", "token id 300 is not from 0 to 256"),
        ({"answers": ["a" * 400]}, "answers[0]", "has 400 tokens: at most 382 fit behind a prompt of 18"),
        ({"prompt": "x"}, "prompt", "one of prompt and messages is required, and only one"),
        ({"messages": None}, "prompt", "one of prompt and messages is required, and only one"),
        ({"messages": None, "prompt": ""}, "prompt", "the prompt is empty"),
        ({"messages": None, "prompt": [999]}, "prompt", "token id 999 is not from 0 to 256"),
        ({"messages": None, "prompt": "x" * 400}, "prompt", "the prompt has 400 tokens"),
        ({"messages": None, "prompt": "x", "chat_template_kwargs": {}}, "chat_template_kwargs", "only allowed with"),
        ({"stream": True}, "stream", "scores are not streamed"),
        ({"guidance": {"search": {"method": "beam"}}}, "guidance.search", "the answers are given"),
        ({"guidance": {"beta": -1}}, "guidance.beta", "must be 0 to 64"),
        ({"objective_weights": {"joy": 1}}, "objective_weights", "unknown objective 'joy'"),
        ({"objective_weight": {"cheerful": 1}}, "objective_weight", "did you mean 'objective_weights'?"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "not supported"),
        ({"guided_regex": "a"}, "guided_regex", "not supported"),
        ({"temperature": 3}, "temperature", "must be 0 to 2"),
        ({"text_1": "a", "text_2": ["b"]}, "text_1", "scores answers under objective_weights"),
        ({"queries": "a", "documents": ["b"]}, "queries", "takes a model that was trained for it"),
    ],
)
async def test_what_is_wrong_is_named(
    client: httpx.AsyncClient, engine: FakeEngine, body: Any, param: str, message: str
) -> None:
    response = await ask(client, **body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param), error
    assert message in error["message"]
    assert not engine.running


async def test_a_body_of_vllms_similarity_score_is_told_what_this_is(client: httpx.AsyncClient) -> None:
    response = await client.post(SCORE, json={"model": "fake/model", "text_1": "a", "text_2": "b"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "text_1")


async def test_unknown_fields_are_left_out_and_named(client: httpx.AsyncClient) -> None:
    response = await ask(client, n=2, max_tokens=3, guidance={"report_ignored": True})
    assert response.headers["x-ignored-fields"] == "n, max_tokens"
    assert response.json()["answers"][0]["guidance"]["ignored"] == ["n", "max_tokens"]


async def test_the_queue_and_the_keys_limits_hold(engine: FakeEngine) -> None:
    engine.limit = 3
    async with app_client(engine, tokens_per_minute=60) as client:
        full = await ask(client, answers=["a"] * 4)
        assert (full.status_code, full.json()["error"]["param"]) == (400, "answers")
        assert (await ask(client, answers=["a" * 20, "b" * 20])).status_code == 200
        over = await ask(client, answers=["a" * 20])
        assert (over.status_code, over.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert over.headers["x-ratelimit-remaining-tokens"] == "2"


async def test_it_counts_as_scored_and_not_as_generated(client: httpx.AsyncClient) -> None:
    await ask(client, answers=["ab", "cd"], objective_weights={"cheerful": 1})
    await client.post(
        "/v1/completions", json={"prompt": "hi", "echo": True, "logprobs": 0, "max_tokens": 0,
                                 "objective_weights": {"cheerful": 1}}
    )  # fmt: skip
    metrics = (await client.get("/metrics")).text
    assert "mavis:scored_answers_total 3.0" in metrics
    assert 'mavis:requests_by_objective_total{objective="cheerful"} 2.0' in metrics
    assert 'mavis:request_success_total{finished_reason="length"} 1.0' in metrics  # the completion's, of no tokens


async def test_who_leaves_takes_the_scoring_along() -> None:
    engine = FakeEngine(latency=0.02)
    async with app_client(engine) as client:
        asking = asyncio.ensure_future(ask(client, answers=["a" * 300]))
        while not engine.running:  # noqa: ASYNC110 (tests put names into it)
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        while engine.running:  # noqa: ASYNC110 (likewise)
            await asyncio.sleep(0.01)
    assert len(engine.aborted) == 1


async def test_an_engine_that_dies_is_a_503(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.fail_at = 1
    assert (await ask(client, answers=["abc", "de"])).status_code == 503
