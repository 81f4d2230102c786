"""How one request samples: OpenAI's and vLLM's names, defaults and ranges.

Frozen and validated at construction, so that every ``SamplingParams`` is a legal one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mavis_core.api.bounds import SMALLEST, check_integer, check_number, check_positive
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.reasoning import Reasoning
from mavis_core.api.structure import Structure

MAX_CHOICES = 128
MAX_STOP_STRINGS = 16
MAX_STOP_LENGTH = 512
MAX_LOGIT_BIAS = 1024
MAX_LOGPROBS = 20
COUNTED = (
    ("logit_bias", "entries", MAX_LOGIT_BIAS),
    ("stop", "strings", MAX_STOP_STRINGS),
    ("stop_token_ids", "entries", MAX_LOGIT_BIAS),
    ("shown_token_ids", "entries", MAX_LOGIT_BIAS),
)
MAX_TOKEN_ID = 2**31 - 1
GREEDY = 1e-5  # vLLM's; logits over a smaller temperature leave float32's range, or its resolution
LEAST_REPETITION_PENALTY = 1e-5  # a smaller one changes nothing more, and overflows


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Sampling settings of one request.

    Attributes:
        n: choices per prompt, 1 to 128; they share the prompt's KV.
        max_tokens: most tokens to generate; 0 only reads the prompt; None is whatever the context leaves.
        min_tokens: stop tokens are banned and stop strings ignored before this many tokens.
        temperature: 0 to 2; below 1e-5 it is 0, greedy.
        top_p: (0, 1]; 1 is off.
        top_k: 0 or -1 is off, else at least 1.
        min_p: 0 to 1; 0 is off.
        presence_penalty, frequency_penalty: -2 to 2, over the output.
        repetition_penalty: (0, 2], over prompt and output; 1 is off, below 1e-5 it is 1e-5.
        logit_bias: token id -> added to its logit, -100 to 100.
        seed: any 64-bit integer; None lets the engine give one (and so two equal requests differ), see ``seeds.py``.
        stop: up to 16 strings that end the answer and are not part of it.
        stop_token_ids: tokens that end the answer, beside the model's own.
        ignore_eos: the model's own stop tokens do not end the answer.
        logprobs: None is none; N asks for the sampled token and the N most likely, 0 to 20.
        prompt_logprobs: likewise for every token of the prompt but the first.
        skip_special_tokens: leave special tokens out of the text.
        shown_token_ids: special tokens that are left in it nevertheless.
        reasoning: how the answer's reasoning is told apart, or None where it has none. A structure begins behind it,
            and stop tokens do not end an answer inside it that must have one; stop strings end it anywhere.
        structure: the form that the answer must have, or None; see ``Structure``, and ``matcher.py`` for what it means
            for stop tokens. A stop string ends the answer wherever it stands, complete or not.
        ranked: choice i takes the i-th likeliest token of the tilted distribution instead of a draw (beam search).

    Raises:
        InvalidRequestError: naming the field.
    """

    n: int = 1
    max_tokens: int | None = None
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    skip_special_tokens: bool = True
    shown_token_ids: tuple[int, ...] = ()
    reasoning: Reasoning | None = None
    structure: Structure | None = None
    ranked: bool = False

    def __post_init__(self) -> None:
        check_integer("n", self.n, 1, MAX_CHOICES)
        if self.max_tokens is not None:
            check_integer("max_tokens", self.max_tokens, 0, MAX_TOKEN_ID)
        check_integer("min_tokens", self.min_tokens, 0, MAX_TOKEN_ID)
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise InvalidRequestError(
                f"min_tokens={self.min_tokens}: must be at most max_tokens={self.max_tokens}", "min_tokens"
            )
        check_integer("top_k", self.top_k, -1, MAX_TOKEN_ID)
        for name, what, most in COUNTED:
            if (count := len(getattr(self, name))) > most:
                raise InvalidRequestError(f"{name} has {count} {what}: at most {most}", name)
        for name in ("logit_bias", "stop_token_ids", "shown_token_ids"):
            for token in getattr(self, name):
                check_integer(name, token, 0, MAX_TOKEN_ID)
        for stop in self.stop:
            if not isinstance(stop, str) or not 1 <= len(stop) <= MAX_STOP_LENGTH:
                raise InvalidRequestError(f"stop: each must be a string of 1 to {MAX_STOP_LENGTH} characters", "stop")
        if self.seed is not None:
            check_integer("seed", self.seed, -(2**63), 2**63 - 1)
        for name in ("logprobs", "prompt_logprobs"):
            if (count := getattr(self, name)) is not None:
                check_integer(name, count, 0, MAX_LOGPROBS)
        if self.structure is not None and not isinstance(self.structure, Structure):
            raise InvalidRequestError(
                f"structure: must be a Structure, not {type(self.structure).__name__}", "structure"
            )
        if self.reasoning is not None and not isinstance(self.reasoning, Reasoning):
            raise InvalidRequestError(
                f"reasoning: must be a Reasoning, not {type(self.reasoning).__name__}", "reasoning"
            )
        for name, number in self._numbers().items():
            object.__setattr__(self, name, number)

    def _numbers(self) -> dict[str, object]:
        """The fields that are numbers, checked, and in the form that tensors get them in."""
        temperature = check_number("temperature", self.temperature, 0, 2)
        return {
            "temperature": temperature if temperature >= GREEDY else 0.0,
            "top_p": check_positive("top_p", self.top_p, 1, SMALLEST),
            "min_p": check_number("min_p", self.min_p, 0, 1),
            "presence_penalty": check_number("presence_penalty", self.presence_penalty, -2, 2),
            "frequency_penalty": check_number("frequency_penalty", self.frequency_penalty, -2, 2),
            "repetition_penalty": check_positive(
                "repetition_penalty", self.repetition_penalty, 2, LEAST_REPETITION_PENALTY
            ),
            "logit_bias": {
                token: check_number(f"logit_bias[{token}]", bias, -100, 100) for token, bias in self.logit_bias.items()
            },
        }
