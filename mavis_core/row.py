"""A row: one choice of one request on its way through the batch. Host state only, torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mavis_core.detokenizer import Detokenizer
from mavis_core.matcher import Matcher
from mavis_core.messages import FinishReason, Request


@dataclass(slots=True, eq=False)
class Row:
    """One choice.

    Attributes:
        request: set by the engine, never changed.
        index: which of the request's choices.
        tokens: prompt, then output; the emitter appends what is sampled.
        prompt_length: tokens of the prompt.
        limit: most tokens of prompt and output together.
        stop_ids: tokens that end the row; the first ``own_stops`` of them are the model's own.
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
        forks: further choices that wait for this row's prefill; set by the engine, taken by the scheduler.
        totals: running sums [steering, truncation, sampled, base mass, V and spread of the named objectives].
        finish_reason: set once, by the emitter or an abort.
    """

    request: Request
    index: int
    tokens: list[int]
    prompt_length: int
    limit: int
    stop_ids: tuple[int, ...]
    own_stops: int
    key: int
    guided: bool
    beta: float
    weights: tuple[float, ...]
    named: tuple[int, ...]
    detokenizer: Detokenizer
    matcher: Matcher | None = None
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    target: int = 0
    forks: list[Row] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    guided_tokens: int = 0
    finish_reason: FinishReason | None = None

    @property
    def output_length(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def prefilling(self) -> bool:
        return self.computed < self.target

    @property
    def banned(self) -> bool:
        """Whether stop tokens are masked at the next draw."""
        output = self.output_length
        if output < self.request.sampling.min_tokens:
            return True
        return self.guided and output == 0 and not self.request.guidance.allow_empty


def structure_error(rows: Sequence[Row]) -> str | None:
    """Why one of a request's rows could not go on in its structure, or None."""
    return next((row.matcher.error for row in rows if row.matcher is not None and row.matcher.error is not None), None)
