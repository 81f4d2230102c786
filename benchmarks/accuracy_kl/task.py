"""Forty small questions, and how an option is scored: by echoes of ``/v1/completions``, as lm-eval does.

    log p(option | question) = the sum of the log-probabilities of the option's tokens behind the question's

The option with the largest one is the model's answer. Options are encoded behind their question in one text, and the
question's own tokens are those that come before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

QUESTIONS = Path(__file__).parent / "questions.jsonl"
PROMPTS_AT_ONCE = 24


@dataclass(frozen=True, slots=True)
class Question:
    """The first of ``options`` is the right one."""

    text: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """One option behind its question.

    Attributes:
        logprob: of its tokens, under the weights.
        base_logprob: under the model itself.
        steering, truncation: KL at its tokens, nats.
        tokens: how many they are.
        outside: those that are no candidates under the weights.
    """

    logprob: float
    base_logprob: float
    steering: float
    truncation: float
    tokens: int
    outside: int


def read_questions(path: Path = QUESTIONS) -> list[Question]:
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Question(line["question"], (line["right"], *line["wrong"])) for line in lines]


def score(client: httpx.Client, questions: Sequence[Question], steering: Mapping[str, Any]) -> list[list[Scored]]:
    """Every option of every question; ``steering``: fields of the request."""
    asked = [(question.text, option) for question in questions for option in question.options]
    found = [scored for part in _parts(asked) for scored in _score(client, part, steering)]
    options = iter(found)
    return [[next(options) for _ in question.options] for question in questions]


def _parts(asked: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(asked), PROMPTS_AT_ONCE):
        yield asked[start : start + PROMPTS_AT_ONCE]


def _score(client: httpx.Client, asked: Sequence[tuple[str, str]], steering: Mapping[str, Any]) -> list[Scored]:
    contexts = {question: len(_tokens(client, question)) for question in dict(asked)}
    prompts = [_tokens(client, question + option) for question, option in asked]
    body = {"prompt": prompts, "echo": True, "max_tokens": 0, "logprobs": 1, "temperature": 0, **steering}
    answer = client.post("/v1/completions", json=body).raise_for_status().json()
    pairs = zip(asked, answer["choices"], strict=True)
    return [option_of(contexts[question], choice) for (question, _), choice in pairs]


def _tokens(client: httpx.Client, text: str) -> list[int]:
    found: list[int] = client.post("/tokenize", json={"prompt": text}).raise_for_status().json()["tokens"]
    return found


def option_of(context: int, choice: Mapping[str, Any]) -> Scored:
    """What an echo says of the tokens behind the first ``context``."""
    logprobs = choice["logprobs"]["token_logprobs"][context:]
    echo = choice["guidance"].get("echo")
    if echo is None:  # not steered
        return Scored(sum(logprobs), sum(logprobs), 0.0, 0.0, len(logprobs), 0)
    tokens = echo["tokens"][context - 1 :]  # which begin with the second
    return Scored(
        sum(logprobs),
        sum(token["base_logprob"] for token in tokens),
        sum(token["steering_nats"] for token in tokens),
        sum(token["truncation_nats"] for token in tokens),
        len(logprobs),
        sum(token["logprob"] is None for token in tokens),
    )


def summarise(found: Sequence[Sequence[Scored]]) -> dict[str, float | int]:
    """Accuracy, and the mean KL per token of all options' tokens."""
    right = sum(max(range(len(options)), key=lambda i: options[i].logprob) == 0 for options in found)
    every = [scored for options in found for scored in options]
    tokens = sum(scored.tokens for scored in every)
    return {
        "questions": len(found),
        "right": right,
        "accuracy": round(right / len(found), 4),
        "steering_nats_per_token": round(sum(scored.steering for scored in every) / tokens, 4),
        "truncation_nats_per_token": round(sum(scored.truncation for scored in every) / tokens, 4),
        "logprob_of_right": round(sum(options[0].logprob for options in found) / len(found), 3),
        "base_logprob_of_right": round(sum(options[0].base_logprob for options in found) / len(found), 3),
        "tokens": tokens,
        "outside": sum(scored.outside for scored in every),
    }
