"""Tools whose schemas are of the kinds that real programs send, each called by the model that ships.

    python -m scripts.compat.schemas --out benchmarks/results/tool_schemas.json

``tools.yaml`` has those that were written by hand, ``lacking.py`` 200 that were not. Each tool is called with other
seeds, then all of them in groups of twenty, among which the model chooses. The model is shown their names alone, for
twenty tools do not fit into its context; it is the grammar that makes it call them. What must hold: none is refused,
and every answer that finishes fits what it was held to. Counted beside: how many answers fit the client's own schema,
how many tools were held to less than it, or to nothing, and how many a strict request is refused for.
"""

from __future__ import annotations

import collections
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import httpx
import jsonschema
import typer
import yaml
from tqdm import tqdm

from benchmarks.machine import describe
from scripts.compat.schemas.lacking import LACKED, places
from scripts.served import served
from server.http.left_out import HEADER
from server.tools.held import held
from value_models.loading import SHIPPED_POLICY

TOOLS = Path(__file__).with_name("tools.yaml")
GROUP = 20
MAX_TOKENS = 200
ASKED = [{"role": "user", "content": "How was your day?"}]
OUR_STDERR = 2
Schema = dict[str, Any]


def kinds() -> dict[str, dict[str, Schema]]:
    """Schemas by kind and name."""
    by_hand: dict[str, dict[str, Schema]] = yaml.safe_load(TOOLS.read_text(encoding="utf-8"))
    made = {f"{i}.{j}": schema for i, lacked in enumerate(LACKED) for j, schema in enumerate(places(lacked))}
    return by_hand | {"lacking": made}


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Answers of each tool.")] = 3,
    out: Annotated[Path | None, typer.Option(help="JSON file for the result.")] = None,
) -> None:
    """Exit 0 where nothing is refused and every finished answer fits what it was held to."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        server = stack.enter_context(served("--chat-template", str(_template(stack)), log=OUR_STDERR))
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=120))
        for kind, schemas in kinds().items():
            found[kind] = _kind(client, kind, schemas, seeds)
        found["groups"] = _groups(client, [one for schemas in kinds().values() for one in schemas.items()])
    wrong = [line for counts in found.values() for line in counts["wrong"]]
    result = {"machine": describe(), "seeds": seeds, "max_tokens": MAX_TOKENS, "by kind": found}
    typer.echo(json.dumps(result, indent=2))
    if out is not None:
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    raise typer.Exit(1 if wrong else 0)


def _template(stack: ExitStack) -> Path:
    """The model's own, but of tools it shows the names alone."""
    own = (SHIPPED_POLICY / "chat_template.jinja").read_text(encoding="utf-8")
    file = Path(stack.enter_context(tempfile.TemporaryDirectory()), "template.jinja")
    file.write_text(own + "{% for tool in tools or [] %}{{ tool.function.name }} {% endfor %}", encoding="utf-8")
    return file


def _kind(client: httpx.Client, kind: str, schemas: dict[str, Schema], seeds: int) -> dict[str, Any]:
    counts: dict[str, Any] = collections.Counter(tools=len(schemas))
    wrong: list[str] = []
    for name, schema in tqdm(schemas.items(), desc=kind):
        counts["refused when strict"] += _ask(client, [_tool(name, schema, strict=True)], 0).status_code == 400
        for seed in range(seeds):
            answer = _ask(client, [_tool(name, schema)], seed)
            if seed == 0:
                told = answer.headers.get(HEADER, "").split(", ")
                counts["held to less"] += told != [""]
                counts["held to nothing"] += "tools[0].function.parameters" in told
            wrong += [f"{kind} {name}, seed {seed}: {line}" for line in _checked(answer, {name: schema}, counts)]
    return {**counts, "wrong": wrong}


def _groups(client: httpx.Client, schemas: Sequence[tuple[str, Schema]]) -> dict[str, Any]:
    """Twenty tools at once, of whatever kinds: every thirteenth, so that kinds are mixed."""
    mixed = [schemas[i] for first in range(13) for i in range(first, len(schemas), 13)]
    counts: dict[str, Any] = collections.Counter(tools=len(mixed))
    wrong: list[str] = []
    for number, first in enumerate(tqdm(range(0, len(mixed), GROUP), desc="groups")):
        group = mixed[first : first + GROUP]
        named = {f"t{i}": schema for i, (_, schema) in enumerate(group)}
        answer = _ask(client, [_tool(name, schema) for name, schema in named.items()], number)
        wrong += [f"group {number}: {line}" for line in _checked(answer, named, counts)]
    return {**counts, "wrong": wrong}


def _tool(name: str, schema: Schema, strict: bool = False) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": schema, "strict": strict}}


def _ask(client: httpx.Client, tools: list[dict[str, Any]], seed: int) -> httpx.Response:
    body = {"messages": ASKED, "tools": tools, "tool_choice": "required", "seed": seed, "max_tokens": MAX_TOKENS}
    return client.post("/v1/chat/completions", json=body | {"parallel_tool_calls": False})


def _checked(answer: httpx.Response, schemas: dict[str, Schema], counts: dict[str, Any]) -> Iterator[str]:
    """Counts one answer; what is wrong with it."""
    counts["answers"] += 1
    if answer.status_code != 200:
        counts["refused"] += 1
        yield f"{answer.status_code} {answer.text[:300]}"
        return
    choice = answer.json()["choices"][0]
    if choice["finish_reason"] == "length":
        counts["cut by the limit"] += 1
        return
    counts["finished"] += 1
    for call in choice["message"]["tool_calls"] or []:
        name, arguments = call["function"]["name"], _exact(call["function"]["arguments"])
        loose = "tools[" + str(list(schemas).index(name)) + "].function.parameters"
        nothing = loose in answer.headers.get(HEADER, "").split(", ")
        followed: Schema = {"type": "object"} if nothing else held(schemas[name], False, "at")[0]
        counts["fit the client's schema"] += not _faults(schemas[name], arguments)
        yield from (f"{arguments} does not fit: {fault}" for fault in _faults(followed, arguments))


def _exact(text: str) -> Any:
    """JSON with decimal numbers as they are written: a double is a multiple of 1e-7 only by chance."""
    return json.loads(text, parse_float=Decimal)


def _faults(schema: Schema, arguments: Any) -> list[str]:
    """Also that the schema itself is none."""
    try:
        plain = _exact(json.dumps({key: value for key, value in schema.items() if key not in ("$schema", "$id")}))
        return [error.message for error in jsonschema.Draft202012Validator(plain).iter_errors(arguments)]
    except Exception as error:  # whatever a validator says of what is no schema
        return [f"{type(error).__name__}: {error}"]


if __name__ == "__main__":
    typer.run(main)
