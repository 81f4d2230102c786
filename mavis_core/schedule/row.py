"""A row: one choice of one request on its way through the batch. Host state only, torch-free."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mavis_core.api.messages import FinishReason, Request, SteeringChange, TokenLogprobs
from mavis_core.grammar.matcher import Matcher
from mavis_core.schedule.track import Companion, Track
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


@dataclass(slots=True)
class Evaluated:
    """Running sums of one objective: the ``tokens`` that it was evaluated at, their V, and its spread there."""

    tokens: int = 0
    value: float = 0.0
    spread: float = 0.0


@dataclass(slots=True, eq=False, kw_only=True)
class Row(Track):
    """One choice; as a track, the one whose tokens are drawn.

    Attributes:
        request: set by the engine; another one takes its place, with all that follows from it, where the steering
            changes (``new_steering.py``).
        index: which of the request's choices.
        prompt_length: tokens of the prompt.
        limit: most tokens of prompt and output together.
        stop_ids: tokens that end the row; the first ``eos_count`` of them are the model's own.
        key: of the row's noise.
        guided: whether it is tilted at all.
        beta: resolved strength (0 for an unguided row).
        weights: lambda of every loaded objective, in the engine's order (empty for an unguided row).
        named: columns of the objectives that the request named; these are evaluated and reported.
        in_words: objectives that the request brings in words, with a lambda that is not 0; evaluated and reported too,
            in columns behind those of the loaded ones.
        companions: of the objectives in words; one whose prompt is the row's own needs none.
        detokenizer: text so far.
        matcher: place in the structure that the answer must have, or None; moved by the emitter.
        cached_tokens: of the prompt, read from the cache at its first admission, None before; set by the scheduler.
        forks: further choices that wait for this row's prefill; set by the engine, taken by the scheduler.
        totals: running sums [steering, truncation, sampled, base mass].
        evaluated: the objectives that were named so far.
        change: another steering that no token has been drawn under yet, or None; told by the emitter.
        read_beside: tokens that companions read for it which it does not have any more.
        finish_reason: set once, by the emitter.
        fault: why its request ends without an answer, or None; its tokens and text mean nothing from then on.
        prompt_logprobs: of the prompt's tokens as far as they are scored; None if not asked for or handed out, and
            on all but the request's first choice.
        arrived: when it was made, on ``time.perf_counter``.
        queued: seconds from then to its first admission, None before; set by the scheduler.
    """

    request: Request
    index: int
    prompt_length: int
    limit: int
    stop_ids: tuple[int, ...]
    eos_count: int
    key: int
    guided: bool
    beta: float
    weights: tuple[float, ...]
    named: tuple[int, ...]
    detokenizer: Detokenizer
    matcher: Matcher | None = None
    in_words: tuple[tuple[str, float], ...] = ()
    companions: tuple[Companion, ...] = ()
    cached_tokens: int | None = None
    forks: list[Row] = field(default_factory=list)
    totals: list[float] = field(default_factory=lambda: [0.0] * 4)
    evaluated: dict[str, Evaluated] = field(default_factory=dict)
    change: SteeringChange | None = None
    read_beside: int = 0
    guided_tokens: int = 0
    finish_reason: FinishReason | None = None
    fault: RowFault | None = None
    prompt_logprobs: list[TokenLogprobs | None] | None = None
    arrived: float = field(default_factory=time.perf_counter)
    queued: float | None = None

    @property
    def group(self) -> str:
        """The group whose turn the row takes."""
        return self.request.group or self.request.id

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Itself and its companions: what runs, waits and is freed together."""
        return (self, *self.companions)

    @property
    def places(self) -> int:
        """Of the batch, that it takes."""
        return 1 + len(self.companions)

    def append(self, token: int) -> None:
        """Add a drawn token."""
        for track in self.tracks:
            track.tokens.append(token)

    @property
    def output_length(self) -> int:
        return len(self.tokens) - self.prompt_length

    @property
    def scores_prompt(self) -> bool:
        """Whether prompt tokens are still to be scored."""
        return self.prompt_logprobs is not None and len(self.prompt_logprobs) < self.prompt_length

    def take_prompt_logprobs(self) -> tuple[TokenLogprobs | None, ...] | None:
        """The prompt's log-probabilities as soon as all are known; None before, and ever after."""
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
