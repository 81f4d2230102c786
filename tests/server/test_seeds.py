"""``--seed`` over HTTP: a server that starts again with it repeats its answers; without it none are repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from mavis_core.model.policy import Policy
from tests.models import head_network, save_byte_llama
from tests.server.real_engine import served
from tests.value_models.configs import value_config
from value_models.kinds.head import save_head

PROMPT = {"prompt": "How was your day?", "max_tokens": 6, "ignore_eos": True}
STEERED = {"objective_weights": {"a": 1}, "guidance": {"beta": 0.5}}
SEARCHED = {"objective_weights": {"a": 1}, "guidance": {"beta": 0.5, "search": {"method": "best_of", "successors": 2}}}
SEQUENCE: list[dict[str, Any]] = [
    PROMPT,
    PROMPT,
    PROMPT | {"n": 2} | STEERED,
    PROMPT | {"prompt": ["a", "b"], "n": 2},
    PROMPT | {"guided_regex": "[a-z]+"},
    PROMPT | SEARCHED,
    PROMPT | SEARCHED,
    PROMPT | {"stream": True},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("seeds")
    save_byte_llama(folder / "model")
    policy = Policy.load(str(folder / "model"), torch.device("cpu"), torch.float32)
    save_head(folder / "value", value_config(policy, "a"), head_network(1, 1))
    return str(folder / "model"), str(folder / "value")


async def answers(model: tuple[str, str], sequence: list[dict[str, Any]], **settings: Any) -> list[Any]:
    """Of one start of a server."""
    async with served(model=model[0], values=model[1], **settings) as http:
        responses = [await http.post("/v1/completions", json=body) for body in sequence]
    assert [response.status_code for response in responses] == [200] * len(sequence)
    return [texts(response) for response in responses]


def texts(response: httpx.Response) -> list[str]:
    if response.headers["content-type"].startswith("application/json"):
        return [choice["text"] for choice in response.json()["choices"]]
    return [line.partition('"text":')[2].partition('"')[2].partition('"')[0] for line in response.text.splitlines()]


async def test_with_a_seed_a_server_repeats_itself(model: tuple[str, str], tmp_path: Path) -> None:
    first = await answers(model, SEQUENCE, seed=5)
    assert await answers(model, SEQUENCE, seed=5) == first
    assert first[0] != first[1]
    assert first[2][0] != first[2][1]
    assert len(set(first[3])) == 4
    assert first[5] != first[6]
    other = await answers(model, SEQUENCE, seed=6)
    assert all(one != two for one, two in zip(first, other, strict=True))


async def test_without_one_it_does_not(model: tuple[str, str]) -> None:
    first, second = await answers(model, SEQUENCE[:3]), await answers(model, SEQUENCE[:3])
    assert all(one != two for one, two in zip(first, second, strict=True))
    assert first[0] != first[1]


async def test_a_requests_own_seed_counts_with_any(model: tuple[str, str]) -> None:
    own = [PROMPT | {"seed": 3}]
    assert await answers(model, own, seed=5) == await answers(model, own)
