"""``POST /v1/messages`` and ``POST /v1/messages/count_tokens``: the requests (Anthropic's pages of those names).

The sampling and steering fields of the other endpoints are taken beside Anthropic's, whose clients send them through
``extra_body``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from mavis_core.api.bounds import check_integer
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.sampling_params import MAX_STOP_STRINGS, MAX_TOKEN_ID, SamplingParams
from server.protocol.chat import HINT, thinking_hints
from server.protocol.chat_messages import ChatMessage
from server.protocol.fields import NoEffect, Skipped, Tolerant, ranged
from server.protocol.messages.turns import BILLING, System, Turns, chat_messages, goes_on, without_billing
from server.protocol.sampling import SampledRequest, StopString
from server.protocol.structure import Schema, ToolName, json_constraint
from server.protocol.tools import MAX_TOOLS
from server.text.rendering import Rendering
from server.tools.use import Constraint, Function, Mode, ToolUse

MODES: dict[str, Mode] = {"auto": "auto", "any": "required", "tool": "named", "none": "none"}


class InputTool(Tolerant):
    type: Literal["custom"] | None = None
    name: ToolName
    description: str | None = None
    input_schema: Schema | None = Field(default=None, description="JSON schema of an object; null is no input.")
    strict: bool | None = Field(default=None, description="Refuse what cannot be held to.")
    cache_control: NoEffect = None
    defer_loading: NoEffect = None
    eager_input_streaming: NoEffect = None
    input_examples: NoEffect = None
    allowed_callers: NoEffect = None


def _kind(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, Mapping) else getattr(tool, "type", None)
    return "other" if isinstance(kind, str) and kind != "custom" else "custom"


MessageTool: TypeAlias = Annotated[
    Annotated[InputTool, Tag("custom")] | Annotated[Skipped, Tag("other")], Discriminator(_kind)
]


class MessageToolChoice(Tolerant):
    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = Field(default=None, description="Of type tool: which.")
    disable_parallel_tool_use: bool | None = Field(default=None, description="true: at most one call.")


class Thinking(Tolerant):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: NoEffect = None
    display: NoEffect = None


class OutputFormat(Tolerant):
    type: Literal["json_schema"]
    schema_: Schema = Field(alias="schema")


class OutputConfig(Tolerant):
    effort: str | None = Field(default=None, description=HINT)
    format: OutputFormat | None = None
    task_budget: NoEffect = None


class MessageMetadata(Tolerant):
    user_id: str | None = Field(default=None, description="Whose stored preferences apply.")


class Conversed(Tolerant):
    """What becomes the prompt, and how it may be answered: the fields that both endpoints have."""

    messages: Turns
    system: System | None = None
    tools: Annotated[list[MessageTool], Field(fail_fast=True, max_length=MAX_TOOLS)] | None = Field(
        default=None, description="Tools of the client's own; those of Anthropic's making are left out."
    )
    tool_choice: MessageToolChoice | None = Field(default=None, description="null is auto where there are tools.")
    thinking: Thinking | None = Field(default=None, description=HINT)
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = Field(default=None, description="The older place of output_config.format.")

    cache_control: NoEffect = None
    context_management: NoEffect = None
    betas: NoEffect = None
    anthropic_beta: NoEffect = None
    anthropic_version: NoEffect = None

    def chat_messages(self) -> list[ChatMessage]:
        """Raises InvalidRequestError: see ``turns.py``."""
        return chat_messages(self.system, self.messages)

    def unread(self) -> Iterator[str]:
        if isinstance(self.system, list) and len(without_billing(self.system)) < len(self.system):
            yield f"system[].{BILLING.rstrip(':')}"

    def rendering(self, messages: list[ChatMessage]) -> Rendering:
        """How ``messages``, those of this request, are written."""
        effort = self.output_config.effort if self.output_config else None
        enabled = None if self.thinking is None else self.thinking.type != "disabled"
        return Rendering(
            functions=self.tool_use().functions,
            continue_final_message=goes_on(messages),
            hints=thinking_hints(effort, enabled),
        )

    def tool_use(self) -> ToolUse:
        functions = [
            Function(tool.name, tool.description, tool.input_schema, tool.strict is True, f"tools[{i}]", "input_schema")
            for i, tool in enumerate(self.tools or [])
            if isinstance(tool, InputTool)
        ]
        choice = self.tool_choice
        if choice is None:
            return ToolUse.of(functions, None, None, None)
        named = choice.type == "tool"
        if named and choice.name is None:
            raise InvalidRequestError("tool_choice.name is required where type is 'tool'", "tool_choice.name")
        names = [choice.name] if named and choice.name is not None else None
        return ToolUse.of(functions, MODES[choice.type], names, not choice.disable_parallel_tool_use)


class CountTokensRequest(Conversed):
    model: str | None = Field(default=None, description="A name from /v1/models; null is the first of them.")


class MessagesRequest(Conversed, SampledRequest):
    max_tokens: int | None = ranged(1, MAX_TOKEN_ID, "null is what the context leaves.")
    stop_sequences: Annotated[list[StopString], Field(fail_fast=True, max_length=MAX_STOP_STRINGS)] | None = Field(
        default=None, description="Beside those of stop; empty ones stop nothing."
    )
    metadata: MessageMetadata | None = None

    service_tier: NoEffect = None
    inference_geo: NoEffect = None

    @property
    def whose(self) -> str | None:
        named = self.metadata.user_id if self.metadata else None
        return self.user if named is None else named

    def sampling(self, defaults: Mapping[str, float]) -> SamplingParams:
        if self.max_tokens is not None:
            check_integer("max_tokens", self.max_tokens, 1, MAX_TOKEN_ID)
        made = self.sampling_params(defaults, n=None, max_tokens=self.max_tokens)
        return replace(made, stop=(*made.stop, *filter(None, self.stop_sequences or ())))

    def constraint(self) -> Constraint | None:
        field = "output_format" if self.output_format else "output_config.format"
        asked = self.output_format or (self.output_config.format if self.output_config else None)
        return None if asked is None else json_constraint(asked.schema_, field, f"{field}.schema")
