"""What users send, kind by kind: each kind draws one request of its own and says which statuses are right for it.

Weights name three of the four objectives that ship; ``factual`` is left to ``values``, which unloads it and loads it
again.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

import httpx

CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
OBJECTIVES = ("cheerful", "concise", "curious")
SPARE = "factual"
QUESTIONS = (
    "How was your day?",
    "Can you recommend a good restaurant?",
    "What do you think about the weather, the sea and long walks?",
    "Was für ein schöner Tag! Und bei dir, 元気ですか? 💩",
    "Tell me a story.",
)
SYSTEM = "You are a friendly companion who likes small talk about food, travel, music and the weather. " * 12
SCHEMA = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "maxLength": 20},
        "hour": {"type": "integer", "minimum": 0, "maximum": 23},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 3},
    },
    "required": ["place", "hour"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "meet", "parameters": SCHEMA}}
GRAMMARS = (
    {"regex": "(yes|no|maybe), [a-z]{3,12}\\."},
    {"choice": ["red", "green", "blue"]},
    {"grammar": 'start: greeting " " name\ngreeting: "Hello" | "Hi"\nname: /[A-Z][a-z]{1,8}/'},
    {"json_object": True},
)
WRONG: tuple[dict[str, Any], ...] = (
    {"temperature": -1},
    {"objective_weights": {"unknown": 1}},
    {"guidence": {}},
    {"max_tokens": -1},
    {"n": 0},
    {"messages": []},
    {"guidance": {"top_k": 0}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}}},
    {"logit_bias": {"999999999": 1}},
    {"stop": ["x"] * 17},
)
Answered = tuple[int, frozenset[int]]
Kind = Callable[[httpx.Client, random.Random], Answered]
OK = frozenset({200})
FULL = 429  # a queue that is full is an answer, never an error of a kind's own


def messages(rng: random.Random) -> list[dict[str, str]]:
    return [{"role": "user", "content": rng.choice(QUESTIONS)}]


def sampled(rng: random.Random) -> dict[str, Any]:
    """Limits, seeds and penalties as they come."""
    body: dict[str, Any] = {"max_tokens": rng.randint(1, 40)}
    for field, value in {
        "seed": rng.randrange(100),
        "temperature": rng.choice((0, 0.7, 1, 1.5)),
        "top_p": rng.choice((0.5, 0.9, 1)),
        "frequency_penalty": rng.uniform(-1, 1),
        "repetition_penalty": rng.uniform(0.9, 1.3),
        "min_p": rng.uniform(0, 0.1),
        "ignore_eos": rng.random() < 0.5,
    }.items():
        if rng.random() < 0.4:
            body[field] = value
    return body


def steered(rng: random.Random) -> dict[str, Any]:
    """Any guidance that is not a search; now and then none."""
    if rng.random() < 0.25:
        return {}
    some = rng.sample(OBJECTIVES, rng.randint(1, 3))
    body: dict[str, Any] = {"objective_weights": {name: round(rng.uniform(-2, 2), 2) for name in some}}
    guidance = {
        "beta": rng.uniform(0, 3),
        "top_k": rng.choice((1, 8, 40, 256)),
        "max_kl_per_token": rng.choice((0.01, 0.2, 1.0)),
        "normalise": "minmax",
        "allow_empty": True,
        "report": True,
    }
    return body | {"guidance": {name: guidance[name] for name in guidance if rng.random() < 0.3}}


def post(client: httpx.Client, rng: random.Random, path: str, body: dict[str, Any]) -> int:
    """Streaming or not, and read to the end."""
    if rng.random() < 0.5:
        return client.post(path, json=body).status_code
    with client.stream("POST", path, json=body | {"stream": True}) as stream:
        ended = b""
        for piece in stream.iter_bytes():
            ended = (ended + piece)[-4096:]
        if stream.status_code == httpx.codes.OK and b'"error"' in ended and b'"server_error"' in ended:
            return httpx.codes.INTERNAL_SERVER_ERROR  # it had begun with a 200
        return stream.status_code


def chat(client: httpx.Client, rng: random.Random) -> Answered:
    return post(client, rng, CHAT, {"messages": messages(rng), **sampled(rng), **steered(rng)}), OK


def text(client: httpx.Client, rng: random.Random) -> Answered:
    prompts: list[Any] = ["Hello", list(QUESTIONS), [1, 5, 9], [[1, 2], [3, 4, 5]]]
    return post(client, rng, TEXT, {"prompt": rng.choice(prompts), **sampled(rng), **steered(rng)}), OK


def responses(client: httpx.Client, rng: random.Random) -> Answered:
    body: dict[str, Any] = {"input": rng.choice(QUESTIONS), "max_output_tokens": rng.randint(1, 40), **steered(rng)}
    if rng.random() < 0.3:
        body["text"] = {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}
    return post(client, rng, RESPONSES, body), OK


def choices(client: httpx.Client, rng: random.Random) -> Answered:
    return post(
        client, rng, CHAT, {"messages": messages(rng), **sampled(rng), **steered(rng), "n": rng.randint(2, 6)}
    ), OK


def logprobs(client: httpx.Client, rng: random.Random) -> Answered:
    if rng.random() < 0.5:
        body: dict[str, Any] = {"messages": messages(rng), "logprobs": True, "top_logprobs": rng.randint(0, 20)}
        return post(client, rng, CHAT, {**body, **sampled(rng), **steered(rng)}), OK
    body = {"prompt": rng.choice(QUESTIONS), "logprobs": rng.randint(0, 20), "echo": rng.random() < 0.5}
    return post(client, rng, TEXT, {**body, **sampled(rng), **steered(rng)}), OK


def scored(client: httpx.Client, rng: random.Random) -> Answered:
    body = {"prompt": rng.choice(QUESTIONS), "prompt_logprobs": 3, "max_tokens": rng.randint(0, 2)}
    return client.post(TEXT, json=body).status_code, OK


def search(client: httpx.Client, rng: random.Random) -> Answered:
    method: dict[str, Any] = rng.choice(
        (
            {"method": "chunk", "beams": rng.randint(1, 2), "successors": 2, "chunk_tokens": 4},
            {"method": "best_of", "successors": rng.randint(2, 6)},
            {"method": "beam", "beams": 2, "successors": 3},
        )
    )
    body = {"messages": messages(rng), "max_tokens": rng.randint(1, 16), "objective_weights": {"cheerful": 1}}
    return post(client, rng, CHAT, {**body, "guidance": {"search": method}}), OK


def structure(client: httpx.Client, rng: random.Random) -> Answered:
    shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
    some = rng.choice(({"response_format": shape}, {"structured_outputs": rng.choice(GRAMMARS)}))
    body = {"messages": messages(rng), **sampled(rng), **steered(rng), **some, "max_tokens": 60, "ignore_eos": False}
    return post(client, rng, CHAT, body), OK


def tools(client: httpx.Client, rng: random.Random) -> Answered:
    named = {"type": "function", "function": {"name": "meet"}}
    choice = rng.choice(("auto", "required", "none", named))
    body = {"messages": messages(rng), "max_tokens": 60, "tools": [TOOL], "tool_choice": choice, **steered(rng)}
    return post(client, rng, CHAT, body), OK


def long_prompt(client: httpx.Client, rng: random.Random) -> Answered:
    body = {"prompt": " ".join(rng.choices(("food", "sea", "day", "walk", "I", "you"), k=rng.randint(200, 700)))}
    return post(client, rng, TEXT, {**body, **sampled(rng), "truncate_prompt_tokens": 800}), OK


def shared_prefix(client: httpx.Client, rng: random.Random) -> Answered:
    body = {"messages": [{"role": "system", "content": SYSTEM}, *messages(rng)], **sampled(rng), **steered(rng)}
    return post(client, rng, CHAT, body), OK


def stops(client: httpx.Client, rng: random.Random) -> Answered:
    stop = rng.sample((".", " the", "?", "\n", "ing", "you", "I"), rng.randint(1, 4))
    body = {"messages": messages(rng), **sampled(rng), **steered(rng), "stop": stop}
    return post(client, rng, CHAT, body | {"include_stop_str_in_output": rng.random() < 0.3}), OK


def leaves(client: httpx.Client, rng: random.Random) -> Answered:
    """Before the answer, or in the middle of a stream; its rows must not be left behind."""
    body = {"messages": messages(rng), "max_tokens": 300, "ignore_eos": True, "n": rng.randint(1, 4), **steered(rng)}
    if rng.random() < 0.4:
        with contextlib.suppress(httpx.TimeoutException):  # on purpose: it waits for less than the answer takes
            client.post(CHAT, json=body, timeout=rng.uniform(0.02, 0.3))
        return 0, frozenset({0})
    with client.stream("POST", CHAT, json=body | {"stream": True}) as stream:
        if stream.status_code == httpx.codes.OK:
            for number, _ in enumerate(stream.iter_bytes()):
                if number >= rng.randint(0, 8):
                    break
        return stream.status_code, OK


def wrong(client: httpx.Client, rng: random.Random) -> Answered:
    body = {"messages": messages(rng), "max_tokens": 4} | rng.choice(WRONG)
    if rng.random() < 0.2:
        sent = client.post(CHAT, content=b'{"messages": [', headers={"content-type": "application/json"})
        return sent.status_code, frozenset({400})
    return client.post(CHAT, json=body).status_code, frozenset({400})


def tokens(client: httpx.Client, rng: random.Random) -> Answered:
    if rng.random() < 0.3:
        return client.post("/detokenize", json={"tokens": rng.choices(range(100), k=20)}).status_code, OK
    body = {"prompt": rng.choice(QUESTIONS) * rng.choice((1, 10, 1000)), "return_token_strs": rng.random() < 0.3}
    return client.post("/tokenize", json=body).status_code, OK


def stored(client: httpx.Client, rng: random.Random) -> Answered:
    """A user's preferences written, used, read or forgotten."""
    user = f"user-{rng.randrange(5)}"
    address = f"/v1/preferences/{user}"
    weights = {"objective_weights": {rng.choice(OBJECTIVES): round(rng.uniform(-1, 1), 2)}}
    match rng.choice(("put", "get", "use", "delete")):
        case "put":
            return client.put(address, json=weights).status_code, OK
        case "get":
            return client.get(address).status_code, frozenset({200, 404})
        case "delete":
            return client.delete(address).status_code, frozenset({200, 204, 404})
    return post(client, rng, CHAT, {"messages": messages(rng), **sampled(rng), "user": user}), OK


def listing(client: httpx.Client, rng: random.Random) -> Answered:
    paths = ("/v1/models", "/v1/objectives", "/v1/presets", "/version", "/openapi.json", "/", "/ready")
    return client.get(rng.choice(paths)).status_code, OK


def metrics(client: httpx.Client, _: random.Random) -> Answered:
    return client.get("/metrics").status_code, OK


def presets(client: httpx.Client, rng: random.Random) -> Answered:
    """Admin. A preset written, used by name, forgotten."""
    name = f"soak-{rng.randrange(4)}"
    match rng.choice(("put", "use", "delete")):
        case "put":
            preset = {"objective_weights": {"cheerful": 1}, "guidance": {"beta": 1}}
            return client.put(f"/v1/presets/{name}", json=preset).status_code, frozenset({200, 201})
        case "delete":
            return client.delete(f"/v1/presets/{name}").status_code, frozenset({200, 204, 404})
    model = client.get("/v1/models").json()["data"][0]["id"]
    body = {"model": f"{model}:{name}", "messages": messages(rng), **sampled(rng)}
    return post(client, rng, CHAT, body), frozenset({200, 404})


def values(client: httpx.Client, rng: random.Random) -> Answered:
    """Admin. The spare value goes or comes; another client may have been first."""
    time.sleep(0.05)
    if rng.random() < 0.5:
        return client.delete(f"/v1/values/{SPARE}").status_code, frozenset({200, 404, 409})
    return client.post("/v1/values", json={"source": SPARE}).status_code, frozenset({200, 400, 409})


OPEN: dict[Kind, int] = {
    chat: 20, text: 8, responses: 8, choices: 5, logprobs: 6, scored: 3, search: 5, structure: 6, tools: 5,
    long_prompt: 4, shared_prefix: 6, stops: 5, leaves: 8, wrong: 6, tokens: 4, stored: 4, listing: 3, metrics: 2,
}  # fmt: skip
ADMIN: dict[Kind, int] = {presets: 2, values: 2}
