"""Clients streaming over HTTP against the engine alone: what the server costs.

    python -m benchmarks.streaming                  a random model of 30 M parameters
    python -m benchmarks.streaming --shape shipped  the model that ships

In one run: the engine offline with as many rows as there are clients, then ``mavis serve`` as its own process with
these concurrent streaming clients in this one, in turn, round after round. Both give the same number of tokens per row,
guided. The machine's cores are shared by server, engine and clients, as they are for anybody who runs all three on one
machine.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import uvloop
from transformers import AutoTokenizer

from benchmarks.machine import describe
from benchmarks.shapes import SHAPES, random_head, random_policy
from benchmarks.stream_client import stream
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from scripts.served import served
from value_models.identity import identify
from value_models.kinds.head import save_head
from value_models.loading import SHIPPED_HEADS, SHIPPED_POLICY, build_engine
from value_models.value_config import ObjectiveConfig, ValueConfig

STEP_TARGET_S = 0.020


def save_random(shape: str, folder: Path) -> tuple[str, str]:
    """A random policy with the tokenizer that ships, and a random head for it: (model folder, values folder)."""
    policy = random_policy(SHAPES[shape], torch.device("cpu"), torch.float32)
    policy.model.save_pretrained(folder / "model")
    AutoTokenizer.from_pretrained(SHIPPED_POLICY).save_pretrained(folder / "model")
    config = EngineConfig()
    loaded = build_engine(str(folder / "model"), [], config).policy
    head = random_head(loaded)
    objectives = tuple(ObjectiveConfig(o.name, o.description, 0.0, 1.0, 1.0) for o in head.spec.objectives)
    width, rank = head.shape
    architecture = {"hidden_size": SHAPES[shape].hidden, "width": width, "rank": rank}
    save_head(folder / "head", ValueConfig("head", objectives, identify(loaded), architecture), head.network)
    return str(folder / "model"), str(folder / "head")


def offline(engine: Engine, clients: int, prompt: list[int], weights: dict[str, float], tokens: int) -> float:
    """Tokens per second of the engine alone."""
    start = time.perf_counter()
    generate(
        engine, [prompt] * clients, SamplingParams(max_tokens=tokens, ignore_eos=True), Guidance(weights, beta=1.0)
    )
    return clients * tokens / (time.perf_counter() - start)


def streaming_request(port: int, prompt: list[int], weights: dict[str, float], tokens: int) -> bytes:
    """A guided streaming completion as HTTP/1.1; the server closes the connection at its end."""
    body = json.dumps(
        {
            "prompt": prompt,
            "max_tokens": tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "objective_weights": weights,
            "guidance": {"beta": 1.0},
        }
    )
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return (head + body).encode()


async def streamed(port: int, clients: int, prompt: list[int], weights: dict[str, float], tokens: int) -> float:
    """Tokens per second over all clients, from the first connection to the last byte."""
    request = streaming_request(port, prompt, weights, tokens)
    start = time.perf_counter()
    made = await stream(port, clients, request)
    seconds = time.perf_counter() - start
    assert all(client.completion_tokens() == tokens for client in made)
    return clients * tokens / seconds


def main(
    shape: Annotated[str, typer.Option(help=f"shipped, {', '.join(SHAPES)}")] = "30m",
    tokens: Annotated[int, typer.Option(help="new tokens per client")] = 64,
    clients: Annotated[int, typer.Option(help="that stream at the same time")] = 32,
    rounds: int = 5,
    engine_process: Annotated[bool, typer.Option(help="serve with --engine-process")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Measure both and print their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        model, values = (
            (str(SHIPPED_POLICY), str(SHIPPED_HEADS)) if shape == "shipped" else save_random(shape, Path(folder))
        )
        engine = build_engine(model, [values], EngineConfig(max_num_seqs=clients))
        weights = {objective.name: 0.5 for objective in engine.info.objectives}
        prompt = list(range(6, 38))
        options = ["--model", model, "--values", values, "--max-num-seqs", str(clients)]
        with served(*options, *(["--engine-process"] if engine_process else [])) as server:
            report = measure(engine, server.port, clients, prompt, weights, tokens, rounds)
    report = {
        "benchmark": "streaming",
        "shape": shape,
        "clients": clients,
        "engine_process": engine_process,
        "machine": describe(),
        **report,
    }
    print(json.dumps(report))
    if out is not None:
        out.write_text(json.dumps(report, indent=2) + "\n")


def measure(
    engine: Engine, port: int, clients: int, prompt: list[int], weights: dict[str, float], tokens: int, rounds: int
) -> dict[str, Any]:
    offline(engine, clients, prompt, weights, 4)
    uvloop.run(streamed(port, clients, prompt, weights, 4))
    alone, over_http = [], []
    for _ in range(rounds):
        alone.append(offline(engine, clients, prompt, weights, tokens))
        over_http.append(uvloop.run(streamed(port, clients, prompt, weights, tokens)))
    step = clients / statistics.median(alone)
    return {
        "new_tokens": tokens,
        "rounds": rounds,
        "engine_tokens_per_s": round(statistics.median(alone), 1),
        "http_tokens_per_s": round(statistics.median(over_http), 1),
        "engine_step_ms": round(1000 * step, 2),
        "step_is_20_ms_or_more": step >= STEP_TARGET_S,
        "http / engine": round(statistics.median(h / a for h, a in zip(over_http, alone, strict=True)), 3),
    }


if __name__ == "__main__":
    typer.run(main)
