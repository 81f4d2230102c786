"""What chat and text completions have in common: model, sampling, limits, streaming, steering.

Names, defaults and meaning follow OpenAI's "Create chat completion" and "Create completion" pages; the fields below
``vLLM's`` follow vLLM's extra parameters of the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from mavis_core.bounds import check_integer
from mavis_core.errors import InvalidRequestError
from mavis_core.sampling_params import (
    MAX_CHOICES,
    MAX_LOGIT_BIAS,
    MAX_STOP_LENGTH,
    MAX_STOP_STRINGS,
    MAX_TOKEN_ID,
    SamplingParams,
)
from server.protocol.fields import Strict, ranged
from server.protocol.steering import GuidanceOptions, ObjectiveWeights

StopString = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STOP_LENGTH)]
TokenId = Annotated[int, Field(json_schema_extra={"minimum": 0, "maximum": MAX_TOKEN_ID})]
Bias = Annotated[float, Field(json_schema_extra={"minimum": -100, "maximum": 100})]
LogitBias = Annotated[
    dict[str, Bias],
    Field(max_length=MAX_LOGIT_BIAS, json_schema_extra={"propertyNames": {"pattern": "^(0|[1-9][0-9]{0,9})$"}}),
]


class StreamOptions(Strict):
    include_usage: bool | None = Field(default=None, description="A last chunk with the usage of the whole request.")
    continuous_usage_stats: bool | None = Field(default=None, description="Usage so far on every chunk (vLLM's).")
    include_obfuscation: Literal[False] | None = Field(default=None, description="Padding is not supported.")


class GenerationRequest(Strict):
    model: str | None = Field(default=None, description="A name from /v1/models; null is the first of them.")

    temperature: float | None = ranged(0, 2)
    top_p: float | None = ranged(0, 1, above=True)
    n: int | None = ranged(1, MAX_CHOICES)
    max_tokens: int | None = ranged(1, MAX_TOKEN_ID)
    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS)] | None = None
    presence_penalty: float | None = ranged(-2, 2)
    frequency_penalty: float | None = ranged(-2, 2)
    logit_bias: LogitBias | None = None
    seed: int | None = ranged(-(2**63), 2**63 - 1)
    stream: bool | None = None
    stream_options: StreamOptions | None = Field(default=None, description="Only where stream is true.")
    user: str | None = Field(default=None, description="Whose stored preferences apply.")

    # vLLM's
    top_k: int | None = ranged(-1, MAX_TOKEN_ID, "0 and -1 are off.")
    min_p: float | None = ranged(0, 1)
    repetition_penalty: float | None = ranged(0, 2, above=True)
    min_tokens: int | None = ranged(0, MAX_TOKEN_ID)
    stop_token_ids: Annotated[list[TokenId], Field(fail_fast=True, max_length=MAX_LOGIT_BIAS)] | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None

    # ours
    objective_weights: ObjectiveWeights | None = Field(
        default=None, description="Objective name -> weight; negative ones avoid it. {} asks for the plain model."
    )
    guidance: GuidanceOptions | None = None

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and (self.stream_options.include_usage or self.continuous_usage))

    @property
    def continuous_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.continuous_usage_stats)

    @property
    def report(self) -> bool:
        return bool(self.guidance and self.guidance.report)

    def check_stream_options(self) -> None:
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options: only allowed where stream is true", "stream_options")

    def sampling_params(
        self, max_tokens: int | None, logprobs: int | None, defaults: Mapping[str, float]
    ) -> SamplingParams:
        """What the request says, else the checkpoint's ``defaults``; raises InvalidRequestError when out of range."""
        plain = (
            "temperature", "top_p", "n", "presence_penalty", "frequency_penalty", "seed", "top_k", "min_p",
            "repetition_penalty", "min_tokens", "ignore_eos", "skip_special_tokens",
        )  # fmt: skip
        given: dict[str, Any] = dict(defaults)
        given |= {name: value for name in plain if (value := getattr(self, name)) is not None}
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return SamplingParams(
            max_tokens=max_tokens,
            logprobs=logprobs,
            stop=stop,
            stop_token_ids=tuple(self.stop_token_ids or ()),
            logit_bias={_token_id(key): bias for key, bias in (self.logit_bias or {}).items()},
            **given,
        )


def _token_id(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) <= 10):
        raise InvalidRequestError(f"logit_bias: {key[:40]!r} is not a token id", "logit_bias")
    return check_integer("logit_bias", int(key), 0, MAX_TOKEN_ID)
