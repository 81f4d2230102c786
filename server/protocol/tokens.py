"""``/tokenize`` and ``/detokenize``: vLLM's requests and answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mavis_core.api.errors import InvalidRequestError
from server.protocol.chat import TemplateVariables
from server.protocol.chat_messages import Messages
from server.protocol.fields import Refused, Strict, Tolerant
from server.protocol.sampling import TokenId
from server.protocol.tools import Tools, tool_use_of
from server.text.rendering import Rendering


class TokenizeRequest(Tolerant):
    """A prompt or messages; the fields from ``tools`` on belong to messages."""

    model: str | None = None
    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool | None = Field(default=None, description="null is true for a prompt, false for messages.")
    return_token_strs: bool | None = None
    tools: Tools | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template_kwargs: TemplateVariables | None = None
    chat_template: Refused = None

    def check(self) -> None:
        """Raises InvalidRequestError unless it is one of the two, with its own fields."""
        if (self.prompt is None) == (self.messages is None):
            raise InvalidRequestError("one of prompt and messages is required, and only one", "prompt")
        for name in ("tools", "add_generation_prompt", "continue_final_message", "chat_template_kwargs"):
            if self.messages is None and getattr(self, name) is not None:
                raise InvalidRequestError(f"{name}: only allowed with messages", name)

    def rendering(self) -> Rendering:
        return Rendering(
            functions=tool_use_of(self.tools, None, None).functions,
            add_generation_prompt=self.add_generation_prompt,
            continue_final_message=bool(self.continue_final_message),
            add_special_tokens=bool(self.add_special_tokens),
            variables=self.chat_template_kwargs or {},
        )


class Tokenized(Strict):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(Tolerant):
    model: str | None = None
    tokens: Annotated[list[TokenId], Field(fail_fast=True)]


class TokenizerInfo(Strict):
    """As in a tokenizer_config.json; ``chat_template`` is the one in use."""

    tokenizer_class: str
    model_max_length: int
    vocab_size: int
    bos_token: str | None
    eos_token: str | None
    unk_token: str | None
    pad_token: str | None
    chat_template: str | None


class Detokenized(Strict):
    prompt: str
