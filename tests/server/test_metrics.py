from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from mavis_core.api.messages import StepStats
from server.metrics import Metrics
from tests.server.conftest import USER
from tests.server.fake_engine import CACHED


async def test_a_guided_request_is_counted(client: httpx.AsyncClient) -> None:
    body = {"messages": USER, "max_tokens": 4, "objective_weights": {"cheerful": 1, "concise": 0}}
    await client.post("/v1/chat/completions", json=body)
    text = (await client.get("/metrics")).text
    values = dict(re.findall(r"^(mavis:\S+) (\S+)$", text, re.MULTILINE))
    assert float(values["mavis:generation_tokens_total"]) == 4
    assert float(values["mavis:prompt_tokens_total"]) == len(b"user:hi\nassistant:") - CACHED
    assert float(values["mavis:prefix_cache_queries_total"]) == len(b"user:hi\nassistant:")
    assert float(values["mavis:prefix_cache_hits_total"]) == CACHED
    assert float(values["mavis:iteration_tokens_total_count"]) == 4
    assert float(values["mavis:policy_forward_seconds_count"]) == 4
    assert float(values["mavis:kv_cache_usage_perc"]) == 0
    assert float(values["mavis:token_kl_nats_count"]) == 4
    assert float(values["mavis:token_kl_nats_sum"]) == pytest.approx(1.2)
    assert float(values["mavis:request_kl_nats_sum"]) == pytest.approx(1.2)
    assert float(values["mavis:inter_token_latency_seconds_count"]) == 3
    assert float(values["mavis:time_to_first_token_seconds_count"]) == 1
    assert values['mavis:request_success_total{finished_reason="length"}'] == "1.0"
    assert values['mavis:requests_by_objective_total{objective="cheerful"}'] == "1.0"
    assert 'mavis:requests_by_objective_total{objective="concise"}' not in values
    assert values['mavis:weights_source_total{source="body"}'] == "1.0"


async def test_a_client_cannot_make_series(client: httpx.AsyncClient) -> None:
    body = {"messages": USER, "objective_weights": {"made-up": 1}}
    assert (await client.post("/v1/chat/completions", json=body)).status_code == 400
    assert "made-up" not in (await client.get("/metrics")).text


def test_every_metric_is_documented() -> None:
    page = Path("docs/metrics.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(mavis:[a-z0-9_]+)", page, re.MULTILINE)) == Metrics().names()


def test_every_number_of_a_step_is_a_metric() -> None:
    metrics, known = Metrics(), {field.name for field in dataclasses.fields(StepStats)} - {"idle"}
    before = metrics.text()
    sevens: dict[str, Any] = dict.fromkeys(known, 7)
    metrics.on_step(StepStats(**sevens))
    numbers = dict(re.findall(r"^(mavis:\w+?)(?:_total|_sum)? (\S+)$", metrics.text().decode(), re.MULTILINE))
    assert before != metrics.text()
    assert len([name for name, number in numbers.items() if number == "7.0"]) == len(known)
