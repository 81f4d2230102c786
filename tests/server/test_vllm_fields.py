"""vLLM's fields on chat and text completions, and its ``/tokenize`` and ``/detokenize``."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from mavis_core.api.structure import Structure
from server.protocol.chat import ChatCompletion
from server.protocol.completions import Completion
from tests.server.conftest import USER
from tests.server.fake_engine import SCRIPT, STEERING, TRUNCATION, FakeEngine
from tests.server.test_requests import CHAT, TEXT, ask, error_of
from tests.server.tools import TOOLS


async def chunks(client: httpx.AsyncClient, path: str, **body: Any) -> list[dict[str, Any]]:
    response = await ask(client, path, stream=True, **body)
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [orjson.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize(
    ("body", "kind", "source"),
    [
        ({"guided_json": {"type": "null"}}, "json_schema", '{"type":"null"}'),
        ({"guided_json": '{"type": "null"}'}, "json_schema", '{"type": "null"}'),
        ({"guided_regex": "a+"}, "regex", "a+"),
        ({"guided_choice": ["a", "b"]}, "choice", '["a","b"]'),
        ({"guided_grammar": 'start: "a"'}, "grammar", 'start: "a"'),
        ({"structured_outputs": {"json": {"type": "null"}}}, "json_schema", '{"type":"null"}'),
        ({"structured_outputs": {"json_object": True}}, "json_schema", '{"type":"object"}'),
        ({"response_format": {"type": "json_object"}}, "json_schema", '{"type":"object"}'),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "null"},
                                                                        "strict": True}}},
            "json_schema",
            '{"type":"null"}',
        ),
    ],
)  # fmt: skip
async def test_structures(
    client: httpx.AsyncClient, engine: FakeEngine, path: str, body: Any, kind: Any, source: str
) -> None:
    assert (await ask(client, path, **body)).status_code == 200
    assert engine.requests[0].sampling.structure == Structure(kind, source)


async def test_echo_with_logprobs(client: httpx.AsyncClient) -> None:
    answer = (await ask(client, TEXT, echo=True, logprobs=1, max_tokens=2, n=2)).json()
    Completion.model_validate(answer)
    for choice in answer["choices"]:
        assert choice["text"] == "hi" + SCRIPT[:2].decode()
        assert choice["logprobs"] == {
            "tokens": ["h", "i", "H", "e"],
            "token_logprobs": [None, -1.05, -0.5, -0.5],
            "top_logprobs": [None, {"i": -1.05, "z": -0.01}, {"H": -0.5}, {"e": -0.5}],
            "text_offset": [0, 1, 2, 3],
        }
        assert "prompt_logprobs" not in choice
    told = [c["choices"][0] for c in await chunks(client, TEXT, echo=True, logprobs=1, max_tokens=2)]
    assert [c["text"] for c in told] == ["hi", "H", "e"]
    assert told[0]["logprobs"]["token_logprobs"] == [None, -1.05]
    assert [c["logprobs"]["text_offset"] for c in told[1:]] == [[2], [3]]


@pytest.mark.parametrize("stream", [True, False])
async def test_scoring_generates_nothing(client: httpx.AsyncClient, stream: bool) -> None:
    body: dict[str, Any] = {"echo": True, "logprobs": 0, "max_tokens": 0}
    if stream:
        made = await chunks(client, TEXT, **body)
        assert [c["choices"][0]["finish_reason"] for c in made] == [None, "length"]
        choice = made[0]["choices"][0]
    else:
        answer = (await ask(client, TEXT, **body)).json()
        assert answer["usage"]["completion_tokens"] == 0
        [choice] = answer["choices"]
        assert choice["finish_reason"] == "length"
    assert choice["text"] == "hi"
    assert choice["logprobs"]["token_logprobs"] == [None, -1.05]


@pytest.mark.parametrize("most", [0, 1])
async def test_a_steered_echo(client: httpx.AsyncClient, engine: FakeEngine, most: int) -> None:
    """Of the tilt alone, over all tokens; ``prompt_logprobs`` beside it are the model's own."""
    body: dict[str, Any] = {
        "prompt": ["hiz", "h"], "echo": True, "logprobs": 1, "max_tokens": most, "temperature": 0.3, "top_p": 0.5,
        "objective_weights": {"cheerful": 1}, "prompt_logprobs": 0, "guidance": {"report": True},
    }  # fmt: skip
    answer = (await ask(client, TEXT, **body)).json()
    Completion.model_validate(answer)
    steered, plain = answer["choices"]
    own = [-0.5] * most
    assert steered["logprobs"]["token_logprobs"] == [None, *map(pytest.approx, (-0.5 - TRUNCATION, -0.75)), *own]
    assert steered["logprobs"]["top_logprobs"][1:3] == [{"i": pytest.approx(-0.55)}, {"z": -0.75}]
    assert [next(iter(p.values()))["logprob"] for p in steered["prompt_logprobs"][1:]] == [-1.05, -1.22]
    assert plain["logprobs"]["token_logprobs"] == [None, *own]
    echo = steered["guidance"]["echo"]
    tokens = [(token["token"], token["logprob"], token["base_logprob"]) for token in echo.pop("tokens")]
    assert tokens == [("i", -0.5, -0.75), ("z", None, -0.75)]
    assert echo == {
        "scored": 2, "outside": 1, "steering_nats": 2 * STEERING, "truncation_nats": 2 * TRUNCATION,
        "kl_nats": pytest.approx(0.6), "kl_per_token": pytest.approx(0.3), "values": {"cheerful": 2},
    }  # fmt: skip
    assert plain["guidance"]["echo"]["scored"] == 0
    assert plain["guidance"]["echo"]["kl_per_token"] == 0
    given, first, second = engine.requests
    assert (given.prompt_token_ids, given.answers) == ((ord("h"),), ((ord("i"), ord("z")),))
    assert (given.sampling.temperature, given.sampling.top_p, given.guidance.allow_empty) == (1, 1, True)
    assert (first.sampling.temperature, first.answers, second.answers) == (0.3, (), ())
    assert answer["usage"]["prompt_tokens"] == 4


async def test_a_steered_echo_in_a_stream(client: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"echo": True, "logprobs": 0, "max_tokens": 1, "objective_weights": {"cheerful": 1}}
    made = [chunk["choices"][0] for chunk in await chunks(client, TEXT, **body)]
    assert made[0]["logprobs"]["token_logprobs"] == [None, pytest.approx(-0.55)]
    assert made[-1]["guidance"]["echo"]["scored"] == 1
    assert "tokens" not in made[-1]["guidance"]["echo"]


async def test_an_echo_without_logprobs_or_weights_is_not_scored(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    for body in ({"objective_weights": {"cheerful": 1}}, {"logprobs": 1, "objective_weights": {"cheerful": 0}}):
        answer = (await ask(client, TEXT, echo=True, max_tokens=1, **body)).json()
        assert "echo" not in answer["choices"][0]["guidance"]
    assert not any(request.answers for request in engine.requests)


async def test_prompt_logprobs(client: httpx.AsyncClient) -> None:
    shown = {"105": {"logprob": -1.05, "rank": None, "decoded_token": "i"},
             "122": {"logprob": -0.01, "rank": 1, "decoded_token": "z"}}  # fmt: skip
    text = (await ask(client, TEXT, prompt_logprobs=1)).json()
    Completion.model_validate(text)
    assert text["choices"][0]["prompt_logprobs"] == [None, shown]
    chat = (await ask(client, CHAT, prompt_logprobs=1)).json()
    ChatCompletion.model_validate(chat)
    assert len(chat["prompt_logprobs"]) == chat["usage"]["prompt_tokens"]


async def test_token_ids(client: httpx.AsyncClient) -> None:
    extra: dict[str, Any] = {"return_token_ids": True, "return_tokens_as_token_ids": True, "max_tokens": 2}
    text = (await ask(client, TEXT, logprobs=0, **extra)).json()["choices"][0]
    assert (text["prompt_token_ids"], text["token_ids"]) == ([104, 105], list(SCRIPT[:2]))
    assert text["logprobs"]["tokens"] == ["token_id:72", "token_id:101"]
    chat = (await ask(client, CHAT, logprobs=True, **extra)).json()
    assert chat["choices"][0]["token_ids"] == list(SCRIPT[:2])
    assert len(chat["prompt_token_ids"]) == chat["usage"]["prompt_tokens"]
    made = await chunks(client, CHAT, **extra)
    assert made[0]["prompt_token_ids"] == chat["prompt_token_ids"]
    assert [c["choices"][0]["token_ids"] for c in made] == [[], [72], [101]]
    text_chunks = await chunks(client, TEXT, **extra)
    assert [c["choices"][0]["token_ids"] for c in text_chunks] == [[], [72], [101]]


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"continuous_usage_stats": True}, [0, 1, 2, 2]),
        ({"continuous_usage_stats": True, "include_usage": True}, [0, 1, 2, 2]),
        ({"continuous_usage_stats": True, "include_usage": False}, [None] * 3),
        ({"include_usage": True}, [None, None, None, 2]),
    ],
)
async def test_usage_of_streams(client: httpx.AsyncClient, options: dict[str, bool], counts: list[int | None]) -> None:
    made = await chunks(client, CHAT, max_tokens=2, stream_options=options)
    assert [(c.get("usage") or {}).get("completion_tokens") for c in made] == counts


async def test_rendering(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    begun = [*USER, {"role": "assistant", "content": "well"}]
    answer = (await ask(client, messages=begun, continue_final_message=True, echo=True)).json()
    assert answer["choices"][0]["message"]["content"] == "well" + SCRIPT.decode()
    await ask(client, chat_template_kwargs={"mood": "calm"}, add_generation_prompt=False)
    await ask(client, truncate_prompt_tokens=3)
    await ask(client, truncate_prompt_tokens=3, truncation_side="right")
    await ask(client, messages=[{"role": "user", "content": "x" * 900}], truncate_prompt_tokens=-1, max_tokens=10)
    prompts = [bytes(request.prompt_token_ids) for request in engine.requests]
    assert prompts[0] == b"user:hi\nassistant:well"
    assert prompts[1] == b"user:hi\nmood:calm\n"
    assert prompts[2:4] == [b"nt:", b"use"]
    assert len(prompts[4]) == 390


async def test_names_salts_and_cached_tokens(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    answer = (await ask(client, request_id="mine", cache_salt="s")).json()
    assert answer["id"] == "chatcmpl-mine"
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert engine.requests[0].cache_salt == "s"


async def test_tokenize_and_back(client: httpx.AsyncClient) -> None:
    made = (await client.post("/tokenize", json={"prompt": "hé", "return_token_strs": True})).json()
    assert made == {"count": 3, "max_model_len": 400, "tokens": [104, 0xC3, 0xA9], "token_strs": ["h", "Ã", "©"]}
    assert (await client.post("/detokenize", json={"tokens": made["tokens"]})).json() == {"prompt": "hé"}
    chat = (await client.post("/tokenize", json={"messages": USER, "add_generation_prompt": False})).json()
    assert bytes(chat["tokens"]) == b"user:hi\n"
    with_tools = (await client.post("/tokenize", json={"messages": USER, "tools": TOOLS})).json()
    assert b"weather" in bytes(with_tools["tokens"])
    assert (await client.post("/tokenize", json={"prompt": ""})).json()["count"] == 0


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "x", "messages": USER}, "prompt"),
        ("/tokenize", {"prompt": "x", "tools": TOOLS}, "tools"),
        ("/detokenize", {"tokens": [257]}, "tokens"),
        ("/detokenize", {}, "tokens"),
    ],
)
async def test_tokenize_refuses_by_name(client: httpx.AsyncClient, path: str, body: Any, param: str) -> None:
    assert error_of(await client.post(path, json=body))["param"] == param


async def test_what_sagemaker_and_balancers_ask(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    for method in ("GET", "POST"):
        assert (await client.request(method, "/ping")).json() == {"status": "ready"}
    engine.running.add("another")
    assert (await client.get("/load")).json() == {"server_load": 1}
    engine.state = "dead"
    assert (await client.get("/ping")).status_code == 503


async def test_invocations(client: httpx.AsyncClient) -> None:
    chat = (await client.post("/invocations", json={"messages": USER, "max_tokens": 2})).json()
    text = (await client.post("/invocations", json={"prompt": "hi", "max_tokens": 2})).json()
    assert (chat["object"], text["object"]) == ("chat.completion", "text_completion")
    assert error_of(await client.post("/invocations", json={"input": "hi"}))["param"] == "messages"
    limited = await client.post("/invocations", json={"prompt": "hi"}, headers={"content-type": "text/plain"})
    assert limited.status_code == 415


async def test_the_tokenizer_is_described(client: httpx.AsyncClient) -> None:
    info = (await client.get("/tokenizer_info")).json()
    assert (info["tokenizer_class"], info["model_max_length"], info["vocab_size"]) == ("FakeTokenizer", 400, 257)
    assert info["chat_template"].startswith("{% if messages[0]")
