"""The fields that say how to sample, the same on every endpoint that generates.

Names, defaults and meaning follow OpenAI's API reference; the fields below ``vLLM's`` follow vLLM's extra parameters
of the same names, and those of vLLM's that are not here are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from mavis_core.api.bounds import SMALLEST, check_integer
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.sampling_params import (
    MAX_LOGIT_BIAS,
    MAX_STOP_LENGTH,
    MAX_STOP_STRINGS,
    MAX_TOKEN_ID,
    SamplingParams,
)
from server.protocol.fields import EmptyList, NoEffect, OnlyFalse, OnlyTrue, OnlyZero, Refused, entries, ranged
from server.protocol.steered_request import SteeredRequest

StopString = Annotated[str, StringConstraints(max_length=MAX_STOP_LENGTH)]
TokenId = Annotated[int, Field(json_schema_extra={"minimum": 0, "maximum": MAX_TOKEN_ID})]
Bias = Annotated[float, Field(json_schema_extra={"minimum": -100, "maximum": 100})]
LogitBias = Annotated[
    dict[str, Bias],
    Field(max_length=MAX_LOGIT_BIAS, json_schema_extra={"propertyNames": {"pattern": "^(0|[1-9][0-9]{0,9})$"}}),
    entries(MAX_LOGIT_BIAS),
]
PLAIN = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "top_k", "min_p", "repetition_penalty",
    "min_tokens", "ignore_eos", "skip_special_tokens",
)  # fmt: skip


class SampledRequest(SteeredRequest):
    temperature: float | None = ranged(0, 2)
    top_p: float | None = ranged(0, 1, "0 leaves the likeliest token.")
    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS)] | None = Field(
        default=None, description="Empty ones stop nothing."
    )
    presence_penalty: float | None = ranged(-2, 2)
    frequency_penalty: float | None = ranged(-2, 2)
    logit_bias: LogitBias | None = None
    seed: int | None = ranged(-(2**63), 2**63 - 1)

    # vLLM's
    top_k: int | None = ranged(-1, MAX_TOKEN_ID, "0 and -1 are off.")
    min_p: float | None = ranged(0, 1)
    repetition_penalty: float | None = ranged(0, 2, above=True)
    min_tokens: int | None = ranged(0, MAX_TOKEN_ID)
    stop_token_ids: Annotated[list[TokenId], Field(fail_fast=True, max_length=MAX_LOGIT_BIAS)] | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    priority: OnlyZero | None = Field(default=None, description="Requests are served in order.")

    use_beam_search: OnlyFalse | None = None
    spaces_between_special_tokens: OnlyTrue | None = None
    bad_words: EmptyList | None = None
    allowed_token_ids: Refused = None
    length_penalty: NoEffect = None
    logprob_token_ids: Refused = None
    repetition_detection: Refused = None
    session_id: NoEffect = None
    stream_interval: NoEffect = None
    thinking_token_budget: Refused = None
    kv_transfer_params: Refused = None
    vllm_xargs: Refused = None
    watermarking: Refused = None

    def sampling_params(
        self, defaults: Mapping[str, float], *, n: int | None, max_tokens: int | None, **more: Any
    ) -> SamplingParams:
        """What the request says, else the checkpoint's ``defaults``; raises InvalidRequestError when out of range."""
        given: dict[str, Any] = dict(defaults)
        given |= {name: value for name in PLAIN if (value := getattr(self, name)) is not None}
        if given.get("top_p") == 0:
            given["top_p"] = SMALLEST
        return SamplingParams(
            n=1 if n is None else n,
            max_tokens=max_tokens,
            stop=tuple(filter(None, [self.stop] if isinstance(self.stop, str) else self.stop or ())),
            stop_token_ids=tuple(self.stop_token_ids or ()),
            logit_bias={_token_id(key): bias for key, bias in (self.logit_bias or {}).items()},
            **more,
            **given,
        )


def _token_id(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) <= 10):
        raise InvalidRequestError(f"logit_bias: {key[:40]!r} is not a token id", "logit_bias")
    return check_integer("logit_bias", int(key), 0, MAX_TOKEN_ID)
