"""What a request may say: refusals by name, ranges, shapes, sources of weights. All over ASGI, no socket."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from tests.server.conftest import USER, app_client, make_app
from tests.server.fake_engine import FakeEngine

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


async def ask(client: httpx.AsyncClient, path: str = CHAT, headers: dict[str, str] | None = None, **body: Any) -> Any:
    prompt = {"messages": USER} if path == CHAT else {"prompt": "hi"}
    return await client.post(path, json={**prompt, **body}, headers=headers)


def error_of(response: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


TOOL = {"type": "function", "function": {"name": "f"}}
CALL: dict[str, Any] = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"objective_weight": {"cheerful": 1}}, "objective_weight", "did you mean 'objective_weights'"),
    ({"guidance": {"bta": 1}}, "guidance.bta", "did you mean 'beta'"),
    ({"guidence": {}}, "guidence", "did you mean 'guidance'"),
    ({"objectiveWeights": {"cheerful": 1}}, "objectiveWeights", "did you mean 'objective_weights'"),
    ({"weights": {"cheerful": 1}}, "weights", "did you mean 'objective_weights'"),
    ({"beta": 2}, "beta", "did you mean 'guidance.beta'"),
    ({"extra_body": {"objective_weights": {"cheerful": 1}}}, "extra_body", "did you mean 'objective_weights'"),
    (
        {"messages": [{"role": "user", "content": "x", "objective_weights": {}}]},
        "messages[0].objective_weights",
        "did you mean 'objective_weights'",
    ),
    ({"stream": True, "stream_options": {"guidance": {}}}, "stream_options.guidance", "did you mean 'guidance'"),
    ({"objective_weights": {"cheery": 1}}, "objective_weights", "known: cheerful, concise"),
    ({"objective_weights": {"cheerful": 1e9}}, "objective_weights.cheerful", "-4 to 4"),
    ({"objective_weights": {"cheerful": True}}, "objective_weights.cheerful", "number"),
    ({"objective_weights": {"cheerful": "1"}}, "objective_weights.cheerful", "number"),
    ({"objective_weights": ["cheerful"]}, "objective_weights", "dictionary"),
    ({"guidance": {"top_k": 0}}, "guidance.top_k", "guidance.top_k=0: must be 1 to 256"),
    ({"guidance": {"beta": -1}}, "guidance.beta", "0 to 64"),
    ({"guidance": {"normalise": "max"}}, "guidance.normalise", "minmax"),
    ({"guidance": {"search": {"beams": 2}}}, "guidance.search.method", "required"),
    ({"guidance": {"search": {"method": "mcts"}}}, "guidance.search.method", "'chunk', 'best_of' or 'beam'"),
    ({"guidance": {"search": {"method": "chunk", "width": 3}}}, "guidance.search.width", "unknown"),
    (
        {"guidance": {"search": {"method": "chunk", "beams": 9, "successors": 8}}},
        "guidance.search.successors",
        "at most 64",
    ),
    ({"guidance": {"search": {"method": "best_of", "chunk_tokens": 3}}}, "guidance.search.chunk_tokens", "only method"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "required"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type", "only 'function'"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "must match"),
    ({"tools": [TOOL, TOOL]}, "tools[1].function.name", "given twice"),
    ({"tool_choice": "required"}, "tool_choice", "only allowed where tools are given"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice", "none of: f"),
    ({"tools": [TOOL], "guided_regex": "a"}, "guided_regex", "cannot be combined with tools"),
    ({"functions": [{"name": "f"}]}, "functions", "not supported"),
    ({"function_call": {"name": "f"}}, "function_call", "only 'none'"),
    ({"audio": {}}, "audio", "not supported"),
    ({"modalities": ["audio"]}, "modalities[0]", "only 'text'"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "'json_schema', 'json' or 'regex' is supported"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "required"),
    (
        {"response_format": {"type": "text", "json_schema": {"name": "x"}}},
        "response_format.json_schema",
        "only allowed",
    ),
    ({"response_format": {"type": "regex"}}, "response_format.value", "required"),
    ({"response_format": {"type": "regex", "value": {}}}, "response_format.value", "must be a string"),
    ({"response_format": {"type": "json_schema", "value": {}}}, "response_format.value", "only allowed"),
    ({"response_format": {"type": "json_object", "schema": {}, "value": {}}}, "response_format.value", "not together"),
    ({"response_format": {"type": "json_object"}, "guided_json": {}}, "guided_json", "only one constraint"),
    ({"structured_outputs": {}}, "structured_outputs", "one of json, regex"),
    ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.choice", "only one constraint"),
    ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs.structural_tag", "not supported"),
    ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs.tokenize", "set by the server"),
    ({"add_generation_prompt": True, "continue_final_message": True}, "continue_final_message", "not together"),
    ({"echo": True}, "echo", "last message is the assistant's"),
    ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs", "not in streams"),
    ({"truncation_side": "left"}, "truncation_side", "only allowed"),
    ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens", "at least 1"),
    ({"bad_words": ["x"]}, "bad_words", "not supported"),
    ({"allowed_token_ids": [1]}, "allowed_token_ids", "not supported"),
    ({"use_beam_search": True}, "use_beam_search", "only False"),
    ({"priority": 1}, "priority", "only 0"),
    ({"chat_template": "x"}, "chat_template", "not supported"),
    ({"request_id": "a b"}, "request_id", "must match"),
    ({"web_search_options": {}}, "web_search_options", "not supported"),
    ({"temperature": "1"}, "temperature", "number"),
    ({"temperature": 3}, "temperature", "0 to 2"),
    ({"n": 0}, "n", "1 to 128"),
    ({"n": True}, "n", "integer"),
    ({"seed": 2**80}, "seed", "integer"),
    ({"stop": ["x"] * 17}, "stop", "at most 16"),
    ({"logit_bias": {"x": 1}}, "logit_bias", "not a token id"),
    ({"logit_bias": {"257": 1}}, "logit_bias", "0 to 256"),
    ({"stop_token_ids": [300]}, "stop_token_ids", "0 to 256"),
    ({"max_tokens": 0}, "max_tokens", "1 to"),
    ({"max_tokens": -1}, "max_tokens", "1 to"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "1 to"),
    ({"min_tokens": 383, "max_tokens": 4000}, "min_tokens", "leaves 382 of 400"),
    ({"truncate_prompt_tokens": -1, "max_tokens": 400}, "truncate_prompt_tokens", "no room"),
    ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens", "disagree"),
    ({"min_tokens": 5, "max_tokens": 4}, "min_tokens", "at most max_tokens=4"),
    ({"top_logprobs": 2}, "top_logprobs", "logprobs is true"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "0 to 20"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "stream is true"),
    ({"messages": []}, "messages", "at least 1"),
    ({"messages": [{"role": "user", "content": "x" * 400}]}, "messages", "at most 399"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role", "'assistant' or 'tool'"),
    ({"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}]}, "messages[0].tool_calls", "'assistant'"),
    ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "string"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text", "required"),
    *(
        ({"messages": [{"role": "user", "content": [{"type": kind}]}]}, "messages[0].content[0]", "reads text only")
        for kind in ("image_url", "input_image", "input_audio", "video_url", "file", "document")
    ),
]


@pytest.mark.parametrize(("body", "param", "says"), REFUSED, ids=[param for _, param, _ in REFUSED])
async def test_refused_by_name(
    client: httpx.AsyncClient, engine: FakeEngine, body: dict[str, Any], param: str, says: str
) -> None:
    error = error_of(await ask(client, **body))
    assert error["param"] == param
    assert says in error["message"]
    assert not engine.requests


async def test_what_is_accepted_reaches_the_engine(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    response = await ask(
        client,
        messages=[
            {"role": "developer", "content": "be nice"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "Ann"},
            {"role": "assistant", "content": "c", "refusal": None, "annotations": [], "tool_calls": None},
            {"role": "user", "content": "d"},
        ],
        temperature=0.5, top_p=0.9, n=2, max_completion_tokens=3, stop="x", presence_penalty=1, frequency_penalty=-1,
        logit_bias={"3": -5}, seed=7, top_k=5, min_p=0.1, repetition_penalty=1.1, min_tokens=1, stop_token_ids=[4],
        ignore_eos=True, skip_special_tokens=False, user="u", metadata={"a": "b"}, store=True, safety_identifier="s",
        service_tier="auto", prompt_cache_key="k", tools=[], tool_choice="none", modalities=["text"],
        response_format={"type": "text"}, stream=False,
        guidance={"beta": 2, "top_k": 11, "max_kl_per_token": 0.5, "normalise": "minmax", "allow_empty": True},
        objective_weights={"cheerful": 1, "concise": -0.5},
    )  # fmt: skip
    assert response.status_code == 200, response.text
    [request] = engine.requests
    assert bytes(request.prompt_token_ids) == b"system:be nice\nuser:a\nb\nassistant:c\nuser:d\nassistant:"
    sampling, guidance = request.sampling, request.guidance
    assert (sampling.temperature, sampling.top_p, sampling.n, sampling.max_tokens) == (0.5, 0.9, 2, 3)
    assert (sampling.stop, sampling.seed, sampling.logit_bias) == (("x",), 7, {3: -5})
    assert (sampling.top_k, sampling.min_p, sampling.repetition_penalty) == (5, 0.1, 1.1)
    assert (sampling.min_tokens, sampling.stop_token_ids, sampling.ignore_eos) == (1, (4,), True)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (1, -1)
    assert sampling.skip_special_tokens is False
    assert (guidance.weights, guidance.beta, guidance.top_k) == ({"cheerful": 1, "concise": -0.5}, 2, 11)
    assert (guidance.max_kl_per_token, guidance.normalise, guidance.allow_empty) == (0.5, "minmax", True)


@pytest.mark.parametrize("prompt", ["hi", ["hi"], [104, 105], [[104, 105]]])
async def test_prompt_shapes(client: httpx.AsyncClient, engine: FakeEngine, prompt: Any) -> None:
    assert (await ask(client, TEXT, prompt=prompt)).status_code == 200
    assert engine.requests[0].prompt_token_ids == (104, 105)
    assert engine.requests[0].sampling.max_tokens == 16


@pytest.mark.parametrize("prompt", ["", [], [[]], [300], [-1], [1.5], [True], [1, "a"], None, {}, ["a"] * 129])
async def test_bad_prompts(client: httpx.AsyncClient, engine: FakeEngine, prompt: Any) -> None:
    error = error_of(await ask(client, TEXT, prompt=prompt))
    assert error["param"].startswith("prompt")
    assert not engine.requests


@pytest.mark.parametrize(
    "body", [{"suffix": "x"}, {"best_of": 2}, {"logprobs": 21}, {"max_tokens": 0}, {"messages": USER}]
)
async def test_text_completions_refuse_by_name(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert error_of(await ask(client, TEXT, **body))["param"] == next(iter(body))


async def test_the_chat_template_may_refuse(client: httpx.AsyncClient) -> None:
    two = [{"role": "assistant", "content": "first"}, *USER]
    error = error_of(await ask(client, messages=two))
    assert "must begin with" in error["message"]
    assert error["param"] == "messages"


async def test_report(client: httpx.AsyncClient) -> None:
    response = await ask(client, max_tokens=2, objective_weights={"cheerful": 1}, guidance={"report": True})
    tokens = response.json()["choices"][0]["guidance"]["tokens"]
    assert [t["token"] for t in tokens] == ["H", "e"]
    assert tokens[0]["base_logprob"] == -0.75
    assert tokens[0]["values"] == {"cheerful": 2.0}


@pytest.mark.parametrize(
    ("body", "header", "weights", "source"),
    [
        ({"concise": 1}, "cheerful=2", {"concise": 1}, "body"),
        ({}, "cheerful=2", {}, "body"),
        (None, "cheerful=2, concise=-.5", {"cheerful": 2, "concise": -0.5}, "header"),
        (None, '{"cheerful": 2}', {"cheerful": 2}, "header"),
        (None, "", {}, "header"),
        (None, None, {"cheerful": 0.5}, "default"),
    ],
)
async def test_precedence(body: Any, header: str | None, weights: dict[str, float], source: str) -> None:
    engine = FakeEngine()
    transport = httpx.ASGITransport(make_app(engine, objective_weights="cheerful=0.5"))
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        headers = {} if header is None else {"X-Objective-Weights": header}
        response = await ask(client, headers=headers, objective_weights=body)
    guidance = response.json()["choices"][0]["guidance"]
    assert (guidance["weights"], guidance["source"]) == (weights, source)
    assert engine.requests[0].guidance.weights == weights


async def test_unguided_answers_have_the_same_shape(client: httpx.AsyncClient) -> None:
    guidance = (await ask(client)).json()["choices"][0]["guidance"]
    assert guidance == {
        "weights": {}, "source": "none", "beta": 0, "kl_nats": 0, "kl_per_token": 0, "steering_nats": 0,
        "truncation_nats": 0, "steered_tokens": 0, "values": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    "header", ["cheerful", "cheerful=nan", "cheerful=1_0", "{", '{"cheerful": NaN}', "a=1,a=2", "=1", "{}{}"]
)
async def test_bad_header(client: httpx.AsyncClient, header: str) -> None:
    error = error_of(await ask(client, headers={"X-Objective-Weights": header}))
    assert error["param"] == "X-Objective-Weights"


GARBAGE = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"\x00" * 100, b"[" * 100_000, b'{"a":' * 5000,
    b'{"messages": NaN}', b'{"temperature": Infinity}', b'{"seed": ' + b"9" * 5000 + b"}", b'{"prompt": "\\ud800"}',
    b'{"prompt": "x", "prompt": 3}', b'{"' + b"a" * 100_000 + b'": 1}',
    b'{"metadata": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
    orjson.dumps({f"k{i}": i for i in range(50_000)}), orjson.dumps({"prompt": [*range(200), "x"] * 500}),
    orjson.dumps({"messages": [{"role": "user", "content": [1] * 100_000}]}),
    orjson.dumps({"prompt": "x", "logit_bias": {str(i): "x" for i in range(50_000)}}),
    orjson.dumps({"prompt": "x", "stop": ["y"] * 10_000}),
]  # fmt: skip


@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    response = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert len(error_of(response)["message"]) < 1000


async def test_bodies_too_large(client: httpx.AsyncClient) -> None:
    json = {"content-type": "application/json"}
    whole = await client.post(CHAT, content=b"x" * 5_000_000, headers=json)
    assert error_of(whole, 413)["code"] == "body_too_large"

    async def pieces() -> Any:
        for _ in range(50):
            yield b"x" * 100_000

    assert error_of(await client.post(CHAT, content=pieces(), headers=json), 413)["code"] == "body_too_large"


async def test_other_statuses(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    assert error_of(await client.get("/nope"), 404)["code"] == "not_found"
    assert error_of(await client.put(CHAT), 405)["code"] == "method_not_allowed"
    assert error_of(await client.get(f"{CHAT}/x/nope"), 404)["code"] == "not_found"
    assert error_of(await client.post(CHAT, content=b"{}"), 415)["code"] == "unsupported_media_type"
    assert error_of(await ask(client, model="gpt-9"), 404)["code"] == "model_not_found"
    engine.state = "loading"
    for response in (await ask(client), await client.get("/ready"), await client.get("/v1/models")):
        assert "loading" in error_of(response, 503)["message"]
        assert response.headers["retry-after"] == "2"
    assert (await client.get("/health")).json() == {"status": "loading"}
    engine.state = "dead"
    error_of(await client.get("/health"), 503)


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", CHAT, 405, "is stored"),
        ("GET", f"{CHAT}/chatcmpl-1", 404, "is stored"),
        ("POST", f"{CHAT}/chatcmpl-1", 404, "is stored"),
        ("DELETE", f"{CHAT}/chatcmpl-1", 404, "is stored"),
        ("GET", f"{CHAT}/chatcmpl-1/messages", 404, "is stored"),
        ("GET", "/v1/responses/resp_1", 404, "is stored"),
        ("DELETE", "/v1/responses/resp_1", 404, "is stored"),
        ("GET", "/v1/responses/resp_1/input_items", 404, "is stored"),
        ("POST", "/v1/responses/resp_1/cancel", 404, "background"),
        ("POST", "/v1/responses/compact", 404, "trained for it"),
        ("POST", "/v1/responses/input_tokens", 404, "/tokenize"),
        ("DELETE", "/v1/models/fake/model", 405, "not a client's to delete"),
        ("POST", "/v1/embeddings", 404, "no embeddings"),
        ("POST", "/v1/moderations", 404, "judges none"),
        ("GET", "/v1/files", 404, "no files"),
        ("DELETE", "/v1/files/file-1", 404, "no files"),
        ("POST", "/v1/batches", 404, "batch"),
        ("POST", "/v1/images/generations", 404, "text only"),
        ("POST", "/v1/audio/speech", 404, "text only"),
        ("POST", "/v1/fine_tuning/jobs", 404, "mavis fit"),
        ("GET", "/v1/threads/x/messages", 404, "is stored"),
    ],
)
@pytest.mark.parametrize("root", ["", "/llm"])
async def test_what_openai_has_and_we_do_not_says_why(
    engine: FakeEngine, root: str, method: str, path: str, status: int, says: str
) -> None:
    transport = httpx.ASGITransport(make_app(engine), root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://t{root}") as client:
        error = error_of(await client.request(method, path), status)
    assert (error["code"], error["param"]) == ("unsupported_endpoint", None)
    assert error["message"].startswith(f"{method} {root}{path} is not supported by this server: ")
    assert says in error["message"]


async def test_internal_errors_tell_nothing(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    engine.requests = None  # type: ignore[assignment]
    response = await client.post(CHAT, json={"messages": USER}, headers={"x-request-id": "mine-1"})
    assert error_of(response, 500)["code"] == "internal_error"
    assert "NoneType" not in response.text
    assert response.headers["x-request-id"] == "mine-1"


async def test_request_ids(client: httpx.AsyncClient) -> None:
    assert (await client.get("/version", headers={"x-request-id": "abc.1"})).headers["x-request-id"] == "abc.1"
    assert (await client.get("/version", headers={"x-request-id": "a b;c"})).headers["x-request-id"] != "a b;c"


async def test_objectives(client: httpx.AsyncClient) -> None:
    first = (await client.get("/v1/objectives")).json()["data"][0]
    assert (first["name"], first["recommended_beta"], first["weight_range"]) == ("cheerful", 1.5, [-4.0, 4.0])


async def test_a_choice_takes_a_place_for_every_prompt(engine: FakeEngine) -> None:
    async with app_client(engine, max_queue=0) as client:
        assert (await ask(client, TEXT, prompt=["a", "b"], n=4)).status_code == 200
        error = (await ask(client, TEXT, prompt=["a", "b"], n=5)).json()["error"]
        assert error["param"] == "prompt"
        assert error["message"].startswith("prompt: 2 prompts of 5 rows take 10 places: this server has 8")
        engine.running |= {"another"}
        assert (await ask(client, TEXT, prompt=["a", "b"], n=4)).status_code == 429


async def test_a_search_takes_its_rows_of_the_room_for_every_prompt(engine: FakeEngine) -> None:
    """Two prompts and 8 places: all or none, before a stream has begun."""
    async with app_client(engine, max_queue=0) as client:
        for successors, status in ((4, 200), (5, 400)):
            guidance = {"search": {"method": "best_of", "successors": successors}}
            body: dict[str, Any] = {"prompt": ["a", "b"], "objective_weights": {"cheerful": 1}, "guidance": guidance}
            assert (await ask(client, TEXT, **body)).status_code == status
        assert len(engine.requests) == 2
        assert len({(request.id, request.group) for request in engine.requests}) == 2
        assert len({request.group for request in engine.requests}) == 1
        assert engine.requests[0].guidance.search is not None and engine.requests[0].guidance.search.rows == 4


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH"])
async def test_a_wrong_method_is_told_the_right_ones(client: httpx.AsyncClient, method: str) -> None:
    for path, allowed in (("/v1/preferences/a", "DELETE, GET, PUT"), ("/v1/presets/a", "DELETE, GET, PUT"),
                          ("/v1/presets", "GET"), (CHAT, "POST")):  # fmt: skip
        response = await client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed)
