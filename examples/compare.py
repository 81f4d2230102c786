"""One question, one seed, every objective at -1, 0 and 1: what steering does beside what it costs.

    .venv/bin/python examples/compare.py "How was your day?" [--url http://127.0.0.1:8000/v1] [--key KEY] [--seed 7]

Needs a running server (`mavis serve`), and no other package than the server has. With OpenAI's client the weights would
go into `extra_body`.
"""

from __future__ import annotations

import argparse
from typing import Any

import httpx


def main() -> None:
    parser = argparse.ArgumentParser(description="Every objective at -1, 0 and 1.")
    parser.add_argument("question")
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--key", default="none")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    headers = {"Authorization": f"Bearer {options.key}"}
    try:
        with httpx.Client(base_url=options.url, headers=headers, timeout=600) as client:
            compare(client, options.question, options.seed)
    except httpx.TransportError as error:
        raise SystemExit(f"{options.url} does not answer ({error}): is `mavis serve` running?") from None
    except httpx.HTTPStatusError as error:
        raise SystemExit(error.response.json()["error"]["message"]) from None


def compare(client: httpx.Client, question: str, seed: int) -> None:
    listed = client.get("objectives").raise_for_status().json()
    print(f"{'unsteered':>15}  {ask(client, question, seed, {})}")
    for name in [objective["name"] for objective in listed["data"]]:
        for weight in (-1, 1):
            print(f"{name:>12} {weight:+d}  {ask(client, question, seed, {name: weight})}")


def ask(client: httpx.Client, question: str, seed: int, weights: dict[str, float]) -> str:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 80,
        "seed": seed,
        "objective_weights": weights,
    }
    choice = client.post("chat/completions", json=body).raise_for_status().json()["choices"][0]
    return f"{choice['guidance']['kl_per_token']:.2f} nats/token  {choice['message']['content']}"


if __name__ == "__main__":
    main()
