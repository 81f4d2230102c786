"""Writes tools and calls of a conversation as text, for chat templates that do not know them.

A template that mentions ``tools`` gets them as data. For any other they are written out: definitions in the system
message, calls as text of the assistant, in the form that answers are held to, results as text of the user. So every
model can be given tools; whether it has learned to use them is another matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from server.tools.formats.format import ToolFormat
from server.tools.use import Function

INTRODUCTION = """You may call functions to answer. They are described here as JSON:
<tools>
{definitions}
</tools>
To call one, write its name and arguments like this:
{example}"""


def written_out(
    conversation: Sequence[dict[str, Any]], functions: Sequence[Function], written: ToolFormat
) -> list[dict[str, Any]]:
    """The conversation without fields and roles that only templates with tools know."""
    entries = [_plain(entry, written) for entry in conversation]
    if functions:
        definitions = "\n".join(orjson.dumps(function.definition()).decode() for function in functions)
        system = INTRODUCTION.format(definitions=definitions, example=written.example)
        if entries and entries[0]["role"] == "system":
            entries[0] = entries[0] | {"content": f"{entries[0]['content']}\n\n{system}"}
        else:
            entries.insert(0, {"role": "system", "content": system})
    return entries


def _plain(entry: dict[str, Any], written: ToolFormat) -> dict[str, Any]:
    if entry["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{entry['content']}\n</tool_response>"}
    if "tool_calls" not in entry:
        return entry
    calls = written.written([(call["function"]["name"], call["function"]["arguments"]) for call in entry["tool_calls"]])
    return {"role": "assistant", "content": "\n".join(filter(None, [entry["content"], calls]))}
