"""A row: one choice of one request on its way through the batch. Host state only, torch-free."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mavis_core.api.messages import FinishReason, Request, TokenLogprobs
from mavis_core.grammar.matcher import Matcher
from mavis_core.text.detokenizer import Detokenizer


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why a row's request ends.

    Attributes:
        message: for the client.
        param: the request's field at fault; None where the request is not to blame.
        spoiled: its KV may hold numbers that are not finite, which nobody may read again.
    """

    message: str
    param: str | None = None
    spoiled: bool = False


@dataclass(slots=True, eq=False)
class Row:
    """One choice.

    Attributes:
        request: set by the engine, never changed.
        index: which of the request's choices.
        tokens: prompt, then output; the emitter appends what is sampled.
        prompt_length: tokens of the prompt.
        limit: most tokens of prompt and output together.
        stop_ids: tokens that end the row; the first ``eos_count`` of them are the model's own.
        key: of the row's noise.
        guided: whether it is tilted at all.
        beta: resolved strength (0 for an unguided row).
        weights: lambda of every loaded objective, in the engine's order (empty for an unguided row).
        named: columns of the objectives that the request named; these are evaluated and reported.
        detokenizer: text so far.
        matcher: place in the structure that the answer must have, or None; moved by the emitter.
        computed: tokens whose KV is in the pools; set by the scheduler.
        blocks: block table; set by the scheduler.
        target: tokens to prefill before the next draw; set by the scheduler at admission.
        keys: of its full blocks, the root first (``prefix_keys.py``); set by admission, extended by the scheduler.
        cached_tokens: of the prompt, read from the cache at its first admission, None before; set by the scheduler.
        published: how many of its blocks others can find; set by the scheduler.
        forks: further choices that wait for this row's prefill; set by the engine, taken by the scheduler.
        totals: running sums [steering, truncation, sampled, base mass, V and spread of the named objectives].
        finish_reason: set once, by the emitter.
        fault: why its request ends without an answer, or None; its tokens and text mean nothing from then on.
        prompt_logprobs: of the prompt's tokens as far as they are scored; None if not asked for or handed out, and
            on all but the request's first choice.
        arrived: when it was made, on ``time.perf_counter``.
        queued: seconds from then to its first admission, None before; set by the scheduler.
    """

    request: Request
    index: int
    tokens: list[int]
    prompt_length: int
    limit: int
    stop_ids: tuple[int, ...]
    eos_count: int
    key: int
    keys: list[bytes]
    guided: bool
    beta: float
    weights: tuple[float, ...]
    named: tuple[int, ...]
    detokenizer: Detokenizer
    matcher: Matcher | None = None
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    target: int = 0
    cached_tokens: int | None = None
    published: int = 0
    forks: list[Row] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    guided_tokens: int = 0
    finish_reason: FinishReason | None = None
    fault: RowFault | None = None
    prompt_logprobs: list[TokenLogprobs | None] | None = None
    arrived: float = field(default_factory=time.perf_counter)
    queued: float | None = None

    @property
    def group(self) -> str:
        """Whose turn it takes."""
        return self.request.group or self.request.id

    @property
    def output_length(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def prefilling(self) -> bool:
        return self.computed < self.target

    @property
    def scores_prompt(self) -> bool:
        """Whether prompt tokens are still to be scored."""
        return self.prompt_logprobs is not None and len(self.prompt_logprobs) < self.prompt_length

    def take_prompt_logprobs(self) -> tuple[TokenLogprobs | None, ...] | None:
        """The prompt's log-probabilities, once they are all there, once."""
        if self.prompt_logprobs is None or self.scores_prompt:
            return None
        found, self.prompt_logprobs = tuple(self.prompt_logprobs), None
        return found

    @property
    def banned(self) -> bool:
        """Whether stop tokens are masked at the next draw."""
        output = self.output_length
        if output < self.request.sampling.min_tokens:
            return True
        return self.guided and output == 0 and not self.request.guidance.allow_empty
