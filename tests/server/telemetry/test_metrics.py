from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from mavis_core.api.messages import ChoiceDelta, RequestOutput, StepStats
from mavis_core.api.sampling_params import SamplingParams
from server.telemetry.metrics import Metrics
from server.telemetry.observation import Observation
from tests.server.conftest import USER, app_client
from tests.server.fake_engine import CACHED, FakeEngine


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
    assert float(values["mavis:request_params_max_tokens_sum"]) == 4
    assert float(values["mavis:request_max_num_generation_tokens_sum"]) == 4
    assert "_created" not in text


async def test_a_client_cannot_make_series(client: httpx.AsyncClient) -> None:
    body = {"messages": USER, "objective_weights": {"made-up": 1}}
    assert (await client.post("/v1/chat/completions", json=body)).status_code == 400
    assert "made-up" not in (await client.get("/metrics")).text


def test_every_metric_is_documented() -> None:
    page = Path("docs/metrics.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `((?:mavis:|http_|process_)[a-z0-9_]+)", page, re.MULTILINE)) == Metrics().names()


def test_every_number_of_a_step_is_a_metric() -> None:
    metrics, known = Metrics(), {field.name for field in dataclasses.fields(StepStats)} - {"idle"}
    before = metrics.text()
    sevens: dict[str, Any] = dict.fromkeys(known, 7)
    metrics.on_step(StepStats(**sevens))
    numbers = dict(re.findall(r"^(mavis:\S+) (\S+)$", metrics.text().decode(), re.MULTILINE))
    assert before != metrics.text()
    assert len([name for name, number in numbers.items() if number == "7.0"]) == len(known)


def read(metrics: Metrics, name: str) -> float:
    return float(dict(re.findall(r"^(\S+) (\S+)$", metrics.text().decode(), re.MULTILINE))[name])


def test_a_request_in_its_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    """It arrives at 100, waits 2 s for a place, its tokens come at 105, 106 and 108."""
    now = iter([100.0, 105.0, 106.0, 108.0])
    monkeypatch.setattr("server.telemetry.observation.time.perf_counter", lambda: next(now))
    metrics = Metrics()
    observation = Observation(metrics, SamplingParams(n=2, max_tokens=3))
    for step in range(3):
        deltas = tuple(
            ChoiceDelta(index, "x", (1,), finish_reason="length" if step == 2 else None)
            for index in range(1 if step == 1 else 2)
        )
        observation.see(RequestOutput("r", 7, deltas, step == 2, queue_seconds=2.0))
    observation.give_up()  # of a stream that was read to its end
    for phase, seconds in (("queue", 2), ("prefill", 3), ("decode", 3), ("inference", 6)):
        assert read(metrics, f"mavis:request_{phase}_time_seconds_sum") == seconds
    assert read(metrics, "mavis:request_time_per_output_token_seconds_sum") == 1.5
    assert read(metrics, "mavis:request_max_num_generation_tokens_sum") == 3
    assert read(metrics, "mavis:request_generation_tokens_sum") == 5
    assert read(metrics, "mavis:request_params_max_tokens_sum") == 3
    assert 'finished_reason="abort"' not in metrics.text().decode()


def test_a_request_that_is_given_up() -> None:
    metrics = Metrics()
    Observation(metrics, SamplingParams(n=3)).give_up()
    assert read(metrics, 'mavis:request_success_total{finished_reason="abort"}') == 3


async def test_a_refused_request_is_not_given_up() -> None:
    engine = FakeEngine(limit=1)
    engine.running.add("another")
    async with app_client(engine) as client:
        assert (await client.post("/v1/chat/completions", json={"messages": USER})).status_code == 429
        text = (await client.get("/metrics")).text
    assert "abort" not in text
    assert 'mavis:request_rejections_total{code="queue_full"} 1.0' in text


def test_who_waits_for_what() -> None:
    metrics = Metrics()
    metrics.on_step(StepStats(1, 4, 0, 0, 0, 0.0, 0.0, 0.0, idle=True, compiling=2))
    assert read(metrics, "mavis:num_requests_waiting") == 6
    assert read(metrics, 'mavis:num_requests_waiting_by_reason{reason="capacity"}') == 4
    assert read(metrics, 'mavis:num_requests_waiting_by_reason{reason="deferred"}') == 2


async def test_answers_and_refusals_are_counted(client: httpx.AsyncClient) -> None:
    await client.post("/v1/chat/completions", json={"messages": USER, "n": 0})
    await client.post("/v1/chat/completions", json={"messages": USER, "model": "gpt-9"})
    await client.get("/v1/presets/made-up")
    await client.get("/made-up")
    text = (await client.get("/metrics")).text
    assert 'http_requests_total{handler="/v1/chat/completions",method="POST",status="4xx"} 2.0' in text
    assert 'http_requests_total{handler="/v1/presets/{name}",method="GET",status="4xx"} 1.0' in text
    assert 'http_requests_total{handler="none",method="GET",status="4xx"} 1.0' in text
    assert 'http_request_duration_seconds_count{handler="/v1/chat/completions",method="POST"} 2.0' in text
    assert 'mavis:request_rejections_total{code="invalid_request"} 1.0' in text
    assert 'mavis:request_rejections_total{code="model_not_found"} 1.0' in text
    assert "made-up" not in text
    assert "process_resident_memory_bytes" in text


async def test_vllms_names() -> None:
    """Dashboards for vLLM find what it has under its names and labels; what only we have keeps its own."""
    async with app_client(FakeEngine(), metrics_prefix="vllm") as client:
        body = {"messages": USER, "max_tokens": 4, "objective_weights": {"cheerful": 1}}
        await client.post("/v1/chat/completions", json=body)
        text = (await client.get("/metrics")).text
    labels = 'engine="0",model_name="fake/model"'
    assert f"vllm:generation_tokens_total{{{labels}}} 4.0" in text
    assert 'vllm:request_success_total{engine="0",finished_reason="length",model_name="fake/model"} 1.0' in text
    assert 'vllm:e2e_request_latency_seconds_bucket{engine="0",le="+Inf",model_name="fake/model"} 1.0' in text
    assert 'num_gpu_blocks="256"' in text and "vllm:cache_config_info" in text
    assert "mavis:token_kl_nats_count" in text
    assert "mavis:generation_tokens" not in text
    assert "# TYPE vllm:generation_tokens_total counter" in text
