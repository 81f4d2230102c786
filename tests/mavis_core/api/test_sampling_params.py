from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.sampling_params import SamplingParams


@pytest.mark.parametrize(
    "settings",
    [
        {"n": 1},
        {"n": 128},
        {"max_tokens": 1},
        {"temperature": 0},
        {"temperature": 2},
        {"top_p": 1e-9},
        {"top_k": -1},
        {"top_k": 0},
        {"min_p": 1.0},
        {"presence_penalty": -2, "frequency_penalty": 2},
        {"repetition_penalty": 0.01},
        {"logit_bias": {0: -100, 7: 100}},
        {"seed": -(2**63)},
        {"seed": 2**63 - 1},
        {"stop": ("x",) * 16},
        {"logprobs": 0},
        {"logprobs": 20},
        {"min_tokens": 3, "max_tokens": 3},
    ],
)
def test_the_ends_of_every_range_are_legal(settings: dict[str, Any]) -> None:
    params = SamplingParams(**settings)
    assert all(getattr(params, name) == value for name, value in settings.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n=0: must be 1 to 128"),
        ({"n": 129}, "n=129: must be 1 to 128"),
        ({"max_tokens": -1}, "max_tokens=-1: must be 0 to 2147483647"),
        ({"min_tokens": -1}, "min_tokens=-1: must be 0 to 2147483647"),
        ({"min_tokens": 4, "max_tokens": 3}, "min_tokens=4: must be at most max_tokens=3"),
        ({"temperature": 2.01}, "temperature=2.01: must be 0 to 2"),
        ({"temperature": math.nan}, "temperature=nan: must be 0 to 2"),
        ({"top_p": 0}, "top_p=0: must be above 0, up to 1"),
        ({"top_p": 1.1}, "top_p=1.1: must be 0 to 1"),
        ({"top_k": -2}, "top_k=-2: must be -1 to 2147483647"),
        ({"min_p": -0.1}, "min_p=-0.1: must be 0 to 1"),
        ({"presence_penalty": 2.5}, "presence_penalty=2.5: must be -2 to 2"),
        ({"frequency_penalty": -2.5}, "frequency_penalty=-2.5: must be -2 to 2"),
        ({"repetition_penalty": 0}, "repetition_penalty=0: must be above 0, up to 2"),
        ({"logit_bias": {-1: 0}}, "logit_bias=-1: must be 0 to 2147483647"),
        ({"logit_bias": {5: 101}}, "logit_bias[5]=101: must be -100 to 100"),
        ({"logit_bias": dict.fromkeys(range(1025), 0)}, "logit_bias has 1025 entries: at most 1024"),
        ({"seed": 2**63}, f"seed={2**63}: must be {-(2**63)} to {2**63 - 1}"),
        ({"stop": ("x",) * 17}, "stop has 17 strings: at most 16"),
        ({"stop": ("",)}, "stop: each must be a string of 1 to 512 characters"),
        ({"stop": ("x" * 513,)}, "stop: each must be a string of 1 to 512 characters"),
        ({"stop_token_ids": (-1,)}, "stop_token_ids=-1: must be 0 to 2147483647"),
        ({"stop_token_ids": (1,) * 1025}, "stop_token_ids has 1025 entries: at most 1024"),
        ({"logprobs": 21}, "logprobs=21: must be 0 to 20"),
        ({"prompt_logprobs": 21}, "prompt_logprobs=21: must be 0 to 20"),
    ],
)
def test_beyond_them_the_field_the_value_and_the_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SamplingParams(**settings)
    assert str(caught.value) == message
    assert caught.value.param is not None
    assert caught.value.param.split("[")[0] == next(iter(settings))


def test_a_request_object_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SamplingParams().seed = 3  # type: ignore[misc]
