"""Bodies of the shape that Claude Code sends: through LiteLLM's proxy by each provider, and to ``/v1/messages`` itself.

What they have: a system prompt in parts with cache marks, reminders inside the user's message, a session in
``metadata.user_id``, thinking that is asked for and sent back, a dozen tools whose schemas name a ``$schema`` and more
than a grammar can follow, results as lists of parts, one of them an error, always streamed, betas by header and query.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
from checks import MODEL, QUESTIONS, URL, check, run
from proxy import KEY, PROVIDERS, proxy

MARK = {"cache_control": {"type": "ephemeral"}}
DRAFT = "http://json-schema.org/draft-07/schema#"
TEXT = {"type": "string"}


def tool(name: str, required: list[str], **properties: Any) -> dict[str, Any]:
    schema = {"$schema": DRAFT, "type": "object", "properties": properties, "required": required}
    return {"name": name, "description": f"{name} something.", "input_schema": schema | {"additionalProperties": False}}


NUMBER = {"type": "integer", "exclusiveMinimum": 0, "maximum": 9007199254740991}
TODO = {"type": "object", "properties": {"content": TEXT | {"minLength": 1}, "status": {"enum": ["pending", "done"]}},
        "required": ["content", "status"], "additionalProperties": False}  # fmt: skip
SHORT = {"type": "string", "maxLength": 12}
RELATIVE = {"type": "string", "pattern": "^(?!/)[a-z]{1,9}$"}
YES = {"type": "boolean"}
TOOLS: list[Any] = [
    tool("Bash", ["command"], command=SHORT, timeout={"type": "number"}, run_in_background={"type": "boolean"}),
    tool("Read", ["file_path"], file_path=SHORT, offset=NUMBER, limit=NUMBER),
    tool("Glob", ["pattern"], pattern=SHORT, path=SHORT),
    tool("Grep", ["pattern"], pattern=SHORT, output_mode={"enum": ["content", "count"]}, **{"-n": {"type": "boolean"}}),
    tool("TodoWrite", ["todos"], todos={"type": "array", "items": TODO, "maxItems": 2, "uniqueItems": True}),
    tool("WebFetch", ["url"], url={"type": "string", "format": "uri-reference", "maxLength": 20}),
    tool("Ask", ["answers"], answers={"type": "object", "propertyNames": SHORT, "additionalProperties": YES}),
    tool("mcp__files__read.v1", ["path"], path=RELATIVE, head={"anyOf": [NUMBER, {"type": "null"}]}),
]  # fmt: skip
SYSTEM: list[Any] = [
    {"type": "text", "text": "You are a command line tool.", **MARK},
    {"type": "text", "text": "Be brief.\n# Environment\nPlatform: linux", **MARK},
]


def asked(messages: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "model": MODEL, "max_tokens": 160, "system": SYSTEM, "messages": messages, "tools": TOOLS,
        "metadata": {"user_id": "user_0_account__session_1"}, "temperature": 1,
        "betas": ["interleaved-thinking-2025-05-14"],
    } | more  # fmt: skip


def turns(client: anthropic.Anthropic, model: str, **more: Any) -> None:
    messages: list[Any] = []
    for i, question in enumerate(QUESTIONS):
        reminder = {"type": "text", "text": "<system-reminder>Nothing to do.</system-reminder>"}
        results = list(_results(messages, failed=i == 1))
        said = {"type": "text", "text": question, **MARK}
        messages.append({"role": "user", "content": [*results, reminder, said]})
        body = asked(messages, model=model, tool_choice={"type": "any"}, **more)
        with client.beta.messages.stream(**body) as stream:
            made = stream.get_final_message()
        called = [block for block in made.content if block.type == "tool_use"]
        assert called or made.stop_reason == "max_tokens", made.stop_reason
        messages.append({"role": "assistant", "content": [_marked(block) for block in made.content]})


def _marked(block: Any) -> dict[str, Any]:
    told: dict[str, Any] = block.model_dump(exclude_none=True)
    return told if block.type == "thinking" else told | MARK


def _results(messages: list[Any], failed: bool) -> Iterator[dict[str, Any]]:
    """Of the calls in the last message."""
    for block in messages[-1]["content"] if messages else []:
        if block["type"] == "tool_use":
            content = [{"type": "text", "text": "no such file" if failed else "done"}]
            yield {"type": "tool_result", "tool_use_id": block["id"], "content": content, "is_error": failed}


def thinking(client: anthropic.Anthropic, model: str) -> None:
    """Thinking of an earlier turn comes back, and thinking is asked for again."""
    thought = {"type": "thinking", "thinking": "Let me look.", "signature": "sig"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": "a"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "empty"}
    messages = [
        {"role": "user", "content": QUESTIONS[0]},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "I look."}, call]},
        {"role": "user", "content": [result, {"type": "text", "text": QUESTIONS[1]}]},
    ]
    body = asked(messages, model=model, max_tokens=1100, thinking={"type": "enabled", "budget_tokens": 1024})
    with client.beta.messages.stream(**body | {"stop_sequences": ["."]}) as stream:
        assert stream.get_final_message().stop_reason


def counted(client: anthropic.Anthropic, model: str) -> None:
    found = client.messages.count_tokens(model=model, messages=[{"role": "user", "content": "hi"}], tools=TOOLS)
    assert found.input_tokens > 100, found


def added(client: anthropic.Anthropic, at: str, model: str) -> None:
    check(f"{at}: three turns, streamed")(lambda: turns(client, model))
    check(f"{at}: thinking comes back")(lambda: thinking(client, model))


with proxy() as url:
    through = anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0)
    for provider in PROVIDERS:
        added(through, f"{provider}/ behind LiteLLM", provider)
    itself = anthropic.Anthropic(base_url=URL, api_key="none", max_retries=0)
    added(itself, "/v1/messages", MODEL)
    check("/v1/messages: tokens are counted")(lambda: counted(itself, MODEL))
    run()
