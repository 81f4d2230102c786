"""The helper over the official client, sync and async, against a live port."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import openai
import pytest
from openai.types.chat.chat_completion import Choice

from mavis_core.api.errors import InvalidRequestError
from server.client import guidance_of, with_weights
from tests.server.conftest import USER, Live


def plain(live: Live) -> openai.OpenAI:
    return openai.OpenAI(base_url=live.url + "/v1", api_key="none")


def test_chat_and_text_are_steered(live: Live) -> None:
    client = with_weights(plain(live), {"cheerful": 1, "concise": -0.5})
    chat = guidance_of(client.chat.completions.create(model="fake/model", messages=USER).choices[0])
    text = guidance_of(client.completions.create(model="fake/model", prompt="ab").choices[0])
    for found in (chat, text):
        assert found
        assert (found.source, found.weights) == ("header", {"cheerful": 1.0, "concise": -0.5})
        assert found.kl_per_token == pytest.approx(0.3)
        assert found.values["cheerful"] == 2.0


def test_the_given_client_stays_as_it_was(live: Live) -> None:
    client = plain(live)
    with_weights(with_weights(client, {"cheerful": 1}), {})
    answer = guidance_of(client.chat.completions.create(model="fake/model", messages=USER).choices[0])
    assert answer
    assert (answer.source, answer.weights) == ("none", {})


def test_the_body_of_one_request_wins(live: Live) -> None:
    client = with_weights(plain(live), {"cheerful": 1})
    answer = client.chat.completions.create(
        model="fake/model", messages=USER, extra_body={"objective_weights": {"concise": 2}, "guidance": {"beta": 3}}
    )
    found = guidance_of(answer.choices[0])
    assert found
    assert (found.source, found.weights, found.beta) == ("body", {"concise": 2.0}, 3.0)


async def test_async_stream(live: Live) -> None:
    async with openai.AsyncOpenAI(base_url=live.url + "/v1", api_key="none") as client:
        stream = await with_weights(client, {"cheerful": 1}).chat.completions.create(
            model="fake/model", messages=USER, stream=True, max_tokens=3, extra_body={"guidance": {"report": True}}
        )
        found = [guidance_of(chunk.choices[0]) async for chunk in stream]
    assert found[:-1] == [None] * (len(found) - 1)
    assert found[-1]
    assert found[-1].source == "header"


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), True, "1"])
def test_weights_are_numbers(live: Live, weight: float) -> None:
    with pytest.raises(InvalidRequestError, match="must be a finite number"):
        with_weights(plain(live), {"cheerful": weight})


def test_other_servers_and_newer_ones() -> None:
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}
    assert guidance_of(Choice.model_construct(**choice)) is None
    numbers = dict.fromkeys(("beta", "kl_nats", "kl_per_token", "steering_nats", "truncation_nats"), 0.5)
    given = numbers | {"weights": {}, "values": {}, "source": "body", "new": 1}
    found = guidance_of(Choice.model_construct(**choice, guidance=given))
    assert found
    assert found.beta == 0.5


def test_neither_torch_nor_openai_is_imported() -> None:
    code = "import server.client, sys; assert not {'torch', 'transformers', 'openai', 'fastapi'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
