"""Function tools on the wire of chat completions: definitions, the choice among them, and calls."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from server.protocol.fields import NoEffect, Strict, Tolerant
from server.protocol.structure import Schema, ToolName
from server.tools.use import Function, ToolUse

MAX_TOOLS = 128


class FunctionDefinition(Tolerant):
    name: ToolName
    description: str | None = None
    parameters: Schema | None = Field(default=None, description="JSON schema of an object; null is no parameters.")
    strict: bool | None = Field(default=None, description="Refuse what cannot be held to.")

    def function(self, at: str) -> Function:
        """``at``: where it stands in the request."""
        return Function(self.name, self.description, self.parameters, self.strict is True, at)


class FunctionTool(Tolerant):
    type: Literal["function"] = "function"
    function: FunctionDefinition
    defer_loading: NoEffect = None
    cache_control: NoEffect = None


class FunctionName(Tolerant):
    name: ToolName


class NamedTool(Tolerant):
    type: Literal["function"] = "function"
    function: FunctionName


class AllowedTools(Tolerant):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(fail_fast=True, min_length=1, max_length=MAX_TOOLS)]


class AllowedToolsChoice(Tolerant):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


Tools = Annotated[list[FunctionTool], Field(fail_fast=True, max_length=MAX_TOOLS)]
ToolChoice = Literal["none", "auto", "required"] | NamedTool | AllowedToolsChoice


class CalledFunction(Strict):
    name: str
    arguments: str


class ToolCall(Strict):
    """As we tell it."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class EchoedFunction(Tolerant):
    name: str
    arguments: str | dict[str, Any] | None = Field(
        default=None, description="Text that is no JSON object counts as {}."
    )


class EchoedCall(Tolerant):
    """A call of an earlier turn, as clients send it back."""

    id: str | None = None
    type: Literal["function"] | None = None
    function: EchoedFunction


def tool_use_of(tools: list[FunctionTool] | None, choice: ToolChoice | None, parallel: bool | None) -> ToolUse:
    """Raises InvalidRequestError: a tool twice, a choice that is none of the tools, a choice without tools."""
    functions = [tool.function.function(f"tools[{i}].function") for i, tool in enumerate(tools or [])]
    if isinstance(choice, NamedTool):
        return ToolUse.of(functions, "named", [choice.function.name], parallel)
    if isinstance(choice, AllowedToolsChoice):
        names = [tool.function.name for tool in choice.allowed_tools.tools]
        return ToolUse.of(functions, choice.allowed_tools.mode, names, parallel)
    return ToolUse.of(functions, choice, None, parallel)
