"""Tools: the grammar against its library, calls read in any pieces, and both ways to tell the model."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import httpx
import pytest

from server.tools.formats.hermes import HERMES
from server.tools.grammar import lark
from server.tools.parts import AnswerPart, AnswerText, ToolCallArguments, ToolCallBegin
from server.tools.use import Function, ToolUse
from tests.server.conftest import USER, make_app
from tests.server.fake_engine import TOOL_TEMPLATE, FakeEngine
from tests.server.tools import ARGUMENTS, CALL, PARAMETERS, SECOND, TOOLS, TWO_CALLS

FUNCTIONS = (Function("weather", "Of a city.", PARAMETERS), Function("now"))
SCHEMAS = [function.schema for function in FUNCTIONS]


def matches(grammar: str, text: str) -> bool:
    """Whether ``text`` is all that the grammar asks for."""
    llguidance = pytest.importorskip("llguidance")
    matcher = llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar)
    assert not matcher.get_error()
    data = list(text.encode())
    return bool(matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting())


@pytest.mark.parametrize(
    ("mode", "parallel", "schema", "fits", "fails"),
    [
        ("auto", True, None, ["hi", "a <tool", CALL, "so: " + CALL, TWO_CALLS], ["<tool_call>", CALL + " x"]),
        ("auto", False, None, ["hi", CALL], [TWO_CALLS]),
        ("auto", True, '{"type":"object"}', ['{"a":1}', CALL, TWO_CALLS], ["hi", "so: " + CALL]),
        ("required", True, None, [CALL, TWO_CALLS], ["hi", "", "so: " + CALL, CALL.replace("weather", "other")]),
        ("required", False, None, [CALL, SECOND], [TWO_CALLS, CALL.replace("city", "town")]),
    ],
)
def test_grammar(mode: Any, parallel: bool, schema: str | None, fits: list[str], fails: list[str]) -> None:
    grammar = lark(ToolUse(mode, FUNCTIONS, FUNCTIONS, parallel), SCHEMAS, schema)
    assert [text for text in fits if not matches(grammar, text)] == []
    assert [text for text in fails if matches(grammar, text)] == []


def test_only_allowed_functions_are_in_the_grammar() -> None:
    grammar = lark(ToolUse("required", FUNCTIONS, FUNCTIONS[1:]), SCHEMAS[1:])
    assert matches(grammar, SECOND)
    assert not matches(grammar, CALL)


def joined(parts: list[AnswerPart]) -> list[Any]:
    """Said and argued pieces put together."""
    found: list[Any] = []
    for part in parts:
        if isinstance(part, ToolCallBegin):
            found.append((part.index, part.name, ""))
        elif isinstance(part, ToolCallArguments):
            index, name, text = found.pop()
            assert index == part.index
            found.append((index, name, text + part.text))
        elif found and isinstance(found[-1], str):
            found[-1] += part.text
        else:
            assert isinstance(part, AnswerText)
            found.append(part.text)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", ["hello"]),
        ("  spaced ", ["  spaced "]),
        ("a <tool_ b", ["a <tool_ b"]),
        (TWO_CALLS, [(0, "weather", ARGUMENTS), (1, "now", "{}")]),
        ("so:\n" + CALL, ["so:\n", (0, "weather", ARGUMENTS)]),
        ("\n" + CALL + "\n", [(0, "weather", ARGUMENTS)]),
        (CALL[:60], [(0, "weather", CALL[len('<tool_call>\n{"name": "weather", "arguments": ') : 60])]),
        (CALL[:20], [CALL[:20]]),
    ],
)
def test_reading(text: str, expected: list[Any], size: int) -> None:
    reader, parts = HERMES.reader(), []
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    for i, piece in enumerate(pieces):
        parts += reader.read(piece, last=i == len(pieces) - 1)
    assert stripped(joined(parts)) == stripped(expected)


def stripped(parts: list[Any]) -> list[Any]:
    """Spaces before a call may be told or not, as the pieces fall."""
    return [part.strip() if isinstance(part, str) else part for part in parts]


async def ask(engine: FakeEngine, template: str | None = None, **body: Any) -> Any:
    settings = {} if template is None else {"tokenizer_template": template}
    transport = httpx.ASGITransport(make_app(engine, **settings), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        return await client.post("/v1/chat/completions", json={"messages": USER, **body})


HISTORY: list[Any] = [
    {"role": "user", "content": "weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
]


async def test_a_template_with_tools_gets_them_as_data() -> None:
    engine = FakeEngine(max_model_len=4000)
    assert (await ask(engine, TOOL_TEMPLATE, tools=TOOLS, messages=HISTORY)).status_code == 200
    prompt = bytes(engine.requests[0].prompt_token_ids).decode()
    definition = json.loads(prompt.partition("\n")[0])
    assert definition == TOOLS[0]
    assert 'assistant:[weather {"city": "Bonn"}]\ntool:rain\n' in prompt


async def test_a_template_without_tools_gets_them_in_words() -> None:
    engine = FakeEngine(max_model_len=4000)
    assert (await ask(engine, tools=TOOLS, messages=HISTORY)).status_code == 200
    prompt = bytes(engine.requests[0].prompt_token_ids).decode()
    assert prompt.startswith("system:You may call functions")
    assert '"name":"weather"' in prompt
    assert 'assistant:<tool_call>\n{"name": "weather", "arguments": {"city": "Bonn"}}\n</tool_call>' in prompt
    assert "user:<tool_response>\nrain\n</tool_response>" in prompt


@pytest.mark.parametrize("template", [TOOL_TEMPLATE, None])
@pytest.mark.parametrize("given", ['{"city": "Bo', "{", " "])
async def test_a_call_that_was_cut_is_taken_back(template: str | None, given: str) -> None:
    engine = FakeEngine(max_model_len=4000)
    history = deepcopy(HISTORY)
    history[1]["tool_calls"][0]["function"]["arguments"] = given
    kind = () if template is None else (template,)
    assert (await ask(engine, *kind, tools=TOOLS, messages=history)).status_code == 200
    shown = "[weather {}]" if template else '{"name": "weather", "arguments": {}}'
    assert shown in bytes(engine.requests[0].prompt_token_ids).decode()


@pytest.mark.parametrize("cut", [range(0, 8), range(8, 51), range(51, len(CALL) + 1)])
async def test_streams_end_as_whole_answers_do(cut: range) -> None:
    for length in cut:
        engine = FakeEngine(max_model_len=4000, script=(CALL[:length] or "x").encode())
        whole = (await ask(engine, tools=TOOLS)).json()["choices"][0]["finish_reason"]
        lines = (await ask(engine, tools=TOOLS, stream=True)).text.split("\n\n")
        told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
        assert told[-1]["choices"][0]["finish_reason"] == whole
        assert (whole == "tool_calls") == (length >= len(CALL) - len("}\n</tool_call>"))


async def test_tool_choice_none_shows_none() -> None:
    engine = FakeEngine(max_model_len=4000)
    await ask(engine, tools=TOOLS, tool_choice="none")
    assert b"weather" not in bytes(engine.requests[0].prompt_token_ids)
    assert engine.requests[0].sampling.structure is None


NAMED = {"type": "function", "function": {"name": "weather"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}


async def test_structures() -> None:
    engine = FakeEngine(max_model_len=4000)
    await ask(engine, tools=TOOLS, tool_choice=NAMED)
    await ask(engine, tools=TOOLS, tool_choice=ALLOWED)
    await ask(engine, tools=TOOLS)
    named, allowed, auto = (request.sampling.structure for request in engine.requests)
    assert named and allowed and auto
    assert (named.kind, json.loads(named.source)["properties"]) == ("json_schema", PARAMETERS["properties"])
    assert matches(allowed.source, CALL) and not matches(allowed.source, SECOND)
    assert matches(auto.source, "hi") and matches(auto.source, SECOND)


async def test_a_refused_structure_is_told_in_the_clients_words() -> None:
    engine = FakeEngine(max_model_len=4000)
    engine.refused_structure = "city"
    weather = TOOLS[0] | {"function": TOOLS[0]["function"] | {"strict": True}}
    for body, field in (
        ({"tools": [weather]}, "tools"),
        ({"guided_json": PARAMETERS}, "guided_json"),
        ({"structured_outputs": {"choice": ["city"]}}, "structured_outputs.choice"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": PARAMETERS}}},
         "response_format"),
    ):  # fmt: skip
        error = (await ask(engine, **body)).json()["error"]
        assert (error["param"], error["message"]) == (field, f"{field}: cannot be followed")


@pytest.mark.parametrize(
    ("script", "choice", "finish", "content", "calls"),
    [
        (TWO_CALLS, "auto", "tool_calls", None, [("weather", ARGUMENTS), ("now", "{}")]),
        ("so: " + CALL, "auto", "tool_calls", "so: ", [("weather", ARGUMENTS)]),
        ("just text", "auto", "stop", "just text", None),
        (CALL, "required", "tool_calls", None, [("weather", ARGUMENTS)]),
        (ARGUMENTS, NAMED, "stop", None, [("weather", ARGUMENTS)]),
        # A stop string may cut a call anywhere: what is not whole is none to make.
        (CALL[:51], "auto", "stop", None, [("weather", ARGUMENTS[:6])]),
        (f"{SECOND}\n{CALL[:51]}", "required", "stop", None, [("now", "{}"), ("weather", ARGUMENTS[:6])]),
        (CALL[:20], "auto", "stop", CALL[:20], None),
        (CALL.removesuffix("}\n</tool_call>"), "auto", "tool_calls", None, [("weather", ARGUMENTS)]),
        (ARGUMENTS[:6], NAMED, "stop", None, [("weather", ARGUMENTS[:6])]),
    ],
)
async def test_answers(script: str, choice: Any, finish: str, content: str | None, calls: Any) -> None:
    engine = FakeEngine(max_model_len=4000, script=script.encode())
    answer = (await ask(engine, tools=TOOLS, tool_choice=choice, n=2, logprobs=True)).json()
    for made in answer["choices"]:
        message = made["message"]
        assert (made["finish_reason"], message["content"]) == (finish, content)
        found = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", [])]
        assert found == (calls or [])
        assert len(made["logprobs"]["content"]) == len(script)
    ids = [call["id"] for made in answer["choices"] for call in made["message"].get("tool_calls", [])]
    assert len(set(ids)) == len(ids)
