"""One question, one seed, every objective at -1, 0 and 1: what steering does beside what it costs.

    python examples/compare.py "How was your day?" [--url http://127.0.0.1:8000/v1] [--key KEY] [--seed 7]

Needs a running server (`mavis serve`) and the official client (`pip install openai`).
"""

from __future__ import annotations

import argparse
from typing import Any

from openai import OpenAI


def main() -> None:
    parser = argparse.ArgumentParser(description="Every objective at -1, 0 and 1.")
    parser.add_argument("question")
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--key", default="none")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    client = OpenAI(base_url=options.url, api_key=options.key)
    listed: Any = client.get("/objectives", cast_to=object)
    print(f"{'unsteered':>15}  {ask(client, options.question, options.seed, {})}")
    for name in [objective["name"] for objective in listed["data"]]:
        for weight in (-1, 1):
            print(f"{name:>12} {weight:+d}  {ask(client, options.question, options.seed, {name: weight})}")


def ask(client: OpenAI, question: str, seed: int, weights: dict[str, float]) -> str:
    answer = client.chat.completions.create(
        model=client.models.list().data[0].id,
        messages=[{"role": "user", "content": question}],
        max_tokens=80,
        seed=seed,
        extra_body={"objective_weights": weights},
    )
    choice: Any = answer.choices[0]
    return f"{choice.guidance['kl_per_token']:.2f} nats/token  {choice.message.content}"


if __name__ == "__main__":
    main()
