"""What chat and text completions have in common beyond sampling: choices, limits, streams, what is returned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.sampling_params import MAX_CHOICES, MAX_LOGPROBS, MAX_TOKEN_ID
from server.protocol.fields import NoEffect, Tolerant, ranged
from server.protocol.sampling import SampledRequest
from server.protocol.structure import StructuredFields

RequestIdField = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]


class StreamOptions(Tolerant):
    include_usage: bool | None = Field(default=None, description="A last chunk with the usage of the whole request.")
    continuous_usage_stats: bool | None = Field(default=None, description="Usage so far on every chunk (vLLM's).")
    include_obfuscation: bool | None = Field(default=None, description="Pad chunks to hide how long tokens are.")


class GenerationRequest(StructuredFields, SampledRequest):
    n: int | None = ranged(1, MAX_CHOICES)
    max_tokens: int | None = ranged(0, MAX_TOKEN_ID)
    stream_options: StreamOptions | None = Field(default=None, description="Only where stream is true.")

    # vLLM's
    echo: bool | None = Field(default=None, description="Text of the prompt first; chat: of the message continued.")
    prompt_logprobs: int | None = ranged(0, MAX_LOGPROBS, "Not in streams.")
    include_stop_str_in_output: bool | None = None
    truncate_prompt_tokens: int | None = ranged(-1, MAX_TOKEN_ID, "Only so many prompt tokens; -1 is what fits.")
    truncation_side: Literal["left", "right"] | None = Field(default=None, description="Which are left out.")
    add_special_tokens: bool | None = Field(default=None, description="null is false for chat, true for text.")
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = Field(default=None, description='Logprobs name tokens "token_id:1".')
    request_id: RequestIdField | None = Field(default=None, description="The end of the answer's id.")
    return_token_offsets: NoEffect = None

    @property
    def include_usage(self) -> bool:
        """As in vLLM, usage on every chunk asks for the last one too, unless that was declined."""
        asked = self.stream_options
        if asked is None or asked.include_usage is not None:
            return bool(asked and asked.include_usage)
        return bool(asked.continuous_usage_stats)

    @property
    def continuous_usage(self) -> bool:
        return self.include_usage and bool(self.stream_options and self.stream_options.continuous_usage_stats)

    @property
    def obfuscated(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_obfuscation)

    def check_stream(self) -> None:
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options: only allowed where stream is true", "stream_options")
        if self.prompt_logprobs is not None and self.stream:
            raise InvalidRequestError("prompt_logprobs: not in streams", "prompt_logprobs")
        if self.truncation_side is not None and self.truncate_prompt_tokens is None:
            raise InvalidRequestError(
                "truncation_side: only allowed where truncate_prompt_tokens is given", "truncation_side"
            )
