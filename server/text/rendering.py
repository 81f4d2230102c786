"""The settings by which a conversation becomes text, and the arguments of its chat template.

A template is given what it asks for by name. Tools and the role ``developer`` are written in older words for templates
that have not heard of them; a variable that a template does not have is left out. A name counts where the template's
code has it, not in a comment or in text; whether it shows tools is seen by showing it one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from jinja2 import Environment

from mavis_core.api.errors import InvalidRequestError
from server.tools.conversation import written_out
from server.tools.formats.format import ToolFormat
from server.tools.use import Function

# Arguments of apply_chat_template itself, and what the server decides.
RESERVED = frozenset({
    "conversation", "messages", "tools", "documents", "chat_template", "add_generation_prompt",
    "continue_final_message", "tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict",
    "return_assistant_tokens_mask", "tokenizer_kwargs", "sanitize_control_tokens",
})  # fmt: skip

MAX_VARIABLE = 80  # characters of its name; no template has a longer one


@dataclass(frozen=True, slots=True)
class Rendering:
    """Attributes:
    functions: the tools that the model is shown.
    add_generation_prompt: begin an answer; None is True unless the last message goes on.
    continue_final_message: leave the last message open.
    add_special_tokens: those of the tokenizer, beside the template's own.
    variables: for the template (``chat_template_kwargs``).
    hints: variables that nobody asked for by the template's name for them; ``variables`` win.
    param: what the client calls the messages.
    """

    functions: tuple[Function, ...] = ()
    add_generation_prompt: bool | None = None
    continue_final_message: bool = False
    add_special_tokens: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)
    hints: Mapping[str, Any] = field(default_factory=dict)
    param: str = "messages"


# A function of a name that no request uses.
PROBE = Function(
    "mavis_probe",
    "A probe.",
    {"type": "object", "properties": {"x": {"type": "string", "description": "Any."}}, "required": ["x"]},
)


def brings_tools(entries: Sequence[dict[str, Any]], functions: Sequence[Function]) -> bool:
    """Whether it matters to the conversation what a template makes of tools."""
    return bool(functions) or any(entry["role"] == "tool" or "tool_calls" in entry for entry in entries)


def fitted(
    entries: Sequence[dict[str, Any]],
    functions: Sequence[Function],
    template: str,
    shows_tools: bool,
    calls: ToolFormat,
) -> list[dict[str, Any]]:
    """The conversation in the words that ``template`` knows, its ``calls`` in the model's form."""
    known = list(entries)
    if "developer" not in _code(template)[1]:
        known = [entry | {"role": "system"} if entry["role"] == "developer" else entry for entry in known]
    if not shows_tools:
        return written_out(known, functions, calls)
    return [_with_ids(entry, calls) for entry in known]


def _with_ids(entry: dict[str, Any], calls: ToolFormat) -> dict[str, Any]:
    """``entry`` with ids of calls as its template takes them."""
    made = dict(entry)
    if "tool_call_id" in made:
        made["tool_call_id"] = calls.shown_id(made["tool_call_id"])
    if "tool_calls" in made:
        made["tool_calls"] = [
            call | {"id": calls.shown_id(call["id"])} if "id" in call else call for call in made["tool_calls"]
        ]
    return made


def template_arguments(rendering: Rendering, template: str, shows_tools: bool) -> dict[str, Any]:
    """Keyword arguments of ``apply_chat_template``; raises InvalidRequestError."""
    if rendering.continue_final_message and rendering.add_generation_prompt:
        raise InvalidRequestError(
            "continue_final_message: not together with add_generation_prompt", "continue_final_message"
        )
    for name in rendering.variables:
        if name in RESERVED:
            param = f"chat_template_kwargs.{name}"
            raise InvalidRequestError(f"{param}: is set by the server", param)
    begin = rendering.add_generation_prompt
    arguments: dict[str, Any] = dict(rendering.variables)
    arguments["add_generation_prompt"] = not rendering.continue_final_message if begin is None else begin
    if rendering.continue_final_message:
        arguments["continue_final_message"] = True
    if rendering.functions and shows_tools:
        arguments["tools"] = [function.definition() for function in rendering.functions]
    return arguments


def with_known_variables(rendering: Rendering, template: str) -> Rendering:
    """Without variables that ``template`` does not have; those that only the server sets stay, to be refused."""
    known = {
        name: value
        for name, value in {**rendering.hints, **rendering.variables}.items()
        if name in RESERVED or (len(name) <= MAX_VARIABLE and mentions(template, name))
    }
    return replace(rendering, variables=known, hints={})


def mentions(template: str, name: str) -> bool:
    """Whether the template's code has a variable of this name."""
    return name in _code(template)[0]


@lru_cache(maxsize=8)
def _code(template: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names and strings in the template's code, without attributes (names behind a dot).

    Raises:
        TemplateSyntaxError: it is no template.
    """
    names, strings, before = set(), set(), ""
    for _, kind, value in Environment(autoescape=False).lex(template):
        if kind == "name" and before != ".":
            names.add(value)
        elif kind == "string":
            strings.add(value[1:-1])
        if kind != "whitespace":
            before = value
    return frozenset(names), frozenset(strings)
