"""Do structured answers hold: sampled JSON of the model that ships, under random weights, against its schemas.

    python -m benchmarks.structure --answers 500 --out benchmarks/results/structure.json

T = 1, every second answer guided (all objectives, weights uniform in -2 to 2, default beta), the other unguided, all in
one batch with as many rows as fit. What ends with "stop" must be valid by ``jsonschema``, every one; the claim is that
at least 90 % end so. Schemas bound every string, array and number: what they leave open, a small model at T = 1 fills
until ``max_tokens``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import typer

from benchmarks.machine import describe
from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from value_models.loading import build_engine

MAX_TOKENS = 256
PROMPTS = ("Hello there!", "What should I read this week?", "Tell me about your day.", "Can you help me with dinner?")


def record(properties: dict[str, Any], optional: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """A closed object."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


WORD = {"type": "string", "pattern": "^[a-z]{2,8}$"}
TEXT = {"type": "string", "minLength": 1, "maxLength": 40}
POINT = record({"x": {"type": "integer", "minimum": -99, "maximum": 99}, "y": {"type": "integer", "minimum": 0}})
POINT["properties"]["y"]["maximum"] = 1000
SCHEMAS: dict[str, dict[str, Any]] = {
    "strings with limits": record({"title": TEXT, "word": WORD, "day": {"type": "string", "format": "date"}}),
    "enums and constants": record(
        {"mood": {"enum": ["good", "bad", None]}, "version": {"const": 2}, "seen": {"type": "boolean"}}
    ),
    "arrays": record(
        {
            "tags": {"type": "array", "items": WORD, "minItems": 1, "maxItems": 4},
            "grid": {
                "type": "array",
                "items": {"type": "array", "items": {"enum": [0, 1]}, "maxItems": 3},
                "maxItems": 3,
            },
        }
    ),
    "nested objects": record({"user": record({"name": TEXT, "at": POINT}), "to": record({"at": POINT}, ("at",))}),
    "references": {
        **record({"left": {"$ref": "#/$defs/leaf"}, "right": {"$ref": "#/$defs/leaf"}, "more": TEXT}, ("more",)),
        "$defs": {"leaf": {"anyOf": [{"$ref": "#/$defs/word"}, {"type": "null"}]}, "word": WORD},
    },
    "variants": {
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "items": {
            "oneOf": [record({"kind": {"const": "say"}, "text": TEXT}), record({"kind": {"const": "go"}, "to": POINT})]
        },
    },
}


def ask(engine: Engine, count: int, seed: int) -> tuple[list[str], list[Guidance], list[CompletionOutput]]:
    """Per answer: its schema's name, its guidance, what came of it."""
    choose = random.Random(seed)
    assert engine.tokenizer is not None
    names, guidances, prompts, samplings = [], [], [], []
    for i in range(count):
        name = list(SCHEMAS)[(i // 2) % len(SCHEMAS)]
        weights = {objective.name: choose.uniform(-2, 2) for objective in engine.info.objectives}
        message = [{"role": "user", "content": choose.choice(PROMPTS)}]
        text = engine.tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        names.append(name)
        guidances.append(Guidance(weights if i % 2 else {}, scope="all"))
        prompts.append(engine.tokenizer.encode(text, add_special_tokens=False))
        form = Structure("json_schema", json.dumps(SCHEMAS[name]))
        samplings.append(SamplingParams(max_tokens=MAX_TOKENS, seed=choose.getrandbits(63), structure=form))
    answers = generate(engine, prompts, samplings, guidances, progress=True)
    return names, guidances, [answer for (answer,) in answers]


def valid(name: str, text: str) -> bool:
    try:
        jsonschema.validate(json.loads(text), SCHEMAS[name])
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def summarise(found: Sequence[tuple[str, CompletionOutput]]) -> dict[str, Any]:
    """Counts and shares; ``valid`` is of those that stopped."""
    stopped = [(name, answer) for name, answer in found if answer.finish_reason == "stop"]
    good = sum(valid(name, answer.text) for name, answer in stopped)
    return {
        "answers": len(found),
        "stopped": len(stopped),
        "stopped_share": round(len(stopped) / max(1, len(found)), 4),
        "valid": good,
        "valid_share": round(good / max(1, len(stopped)), 4),
        "different": len({answer.text for _, answer in stopped}),
        "mean_tokens": round(sum(len(answer.token_ids) for _, answer in found) / max(1, len(found)), 1),
    }


def main(
    answers: Annotated[int, typer.Option(help="How many answers are sampled.")] = 500,
    seed: Annotated[int, typer.Option(help="Of prompts, weights and draws.")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
) -> None:
    engine = build_engine(None, [], EngineConfig(device=device))
    names, guidances, found = ask(engine, answers, seed)
    pairs = list(zip(names, found, strict=True))
    guided = [guidance.active for guidance in guidances]
    report = {
        "machine": describe(),
        "all": summarise(pairs),
        "guided": summarise([pair for pair, steered in zip(pairs, guided, strict=True) if steered]),
        "unguided": summarise([pair for pair, steered in zip(pairs, guided, strict=True) if not steered]),
        "schemas": {name: summarise([pair for pair in pairs if pair[0] == name]) for name in SCHEMAS},
    }
    text = json.dumps(report, indent=2)
    print(text)
    if out is not None:
        out.write_text(text + "\n")
    if report["all"]["valid_share"] < 1 or report["all"]["stopped_share"] < 0.9:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
