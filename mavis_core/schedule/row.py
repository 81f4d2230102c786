"""A row: one choice of one request on its way through the batch. Host state only, torch-free."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mavis_core.api.messages import FinishReason, Request, SteeringChange, TokenLogprobs
from mavis_core.grammar.matcher import Matcher
from mavis_core.schedule.aim import Aim
from mavis_core.schedule.track import Companion, Track
from mavis_core.text.detokenizer import Detokenizer
from mavis_core.text.mark import Mark
from mavis_core.text.reasoning import ReasoningTracker


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
    """Running sums of one objective over the ``tokens`` that it was evaluated at: their V, and its spread there; where
    weights are found at each step, its ``weight`` that was, and the tokens at which its floor was ``missed``.
    """

    tokens: int = 0
    value: float = 0.0
    spread: float = 0.0
    weight: float = 0.0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class AddingTo:
    """The sums that a row's tokens are added to, each with its column, and what of the row they follow from."""

    named: tuple[int, ...]
    in_words: tuple[tuple[str, float], ...]
    sums: list[tuple[Evaluated, int]]


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
        answer: the tokens that it takes, if it scores a given answer and draws nothing.
        in_words: objectives that the request brings in words and that steer, with lambda; evaluated and reported too,
            in columns behind those of the loaded ones.
        aims: floors and the objectives of the worst case, whose weights are found at each step.
        companions: of the objectives in words; one whose prompt is the row's own needs none.
        detokenizer: text so far.
        reasoning: whether it still reasons, or None where it never does; moved by the emitter.
        calls: whether tool calls have begun, or None where there are none; moved with the tokens.
        steers: whether the token that is drawn next is steered, of a guided row; set before each draw.
        matcher: place in the structure that the answer must have, or None; moved by the emitter.
        cached_tokens: of the prompt, read from the cache at its first admission, None before; set by the scheduler.
        forks: further choices that wait for this row's prefill; set by the engine, taken by the scheduler.
        totals: running sums [steering, truncation, sampled, base mass].
        evaluated: the objectives that were named so far.
        adding_to: those of them that are named now, for the emitter alone; None before the first steered token.
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
    reasoning: ReasoningTracker | None = None
    calls: Mark | None = None
    steers: bool = True
    matcher: Matcher | None = None
    answer: tuple[int, ...] = ()
    in_words: tuple[tuple[str, float], ...] = ()
    companions: tuple[Companion, ...] = ()
    aims: tuple[Aim, ...] = ()
    cached_tokens: int | None = None
    forks: list[Row] = field(default_factory=list)
    totals: list[float] = field(default_factory=lambda: [0.0] * 4)
    evaluated: dict[str, Evaluated] = field(default_factory=dict)
    adding_to: AddingTo | None = None
    change: SteeringChange | None = None
    read_beside: int = 0
    guided_tokens: int = 0
    finish_reason: FinishReason | None = None
    fault: RowFault | None = None
    prompt_logprobs: list[TokenLogprobs | None] | None = None
    arrived: float = field(default_factory=time.perf_counter)
    queued: float | None = None

    @property
    def scoped(self) -> bool:
        """Whether some of its tokens may be steered and others not."""
        parts = (self.reasoning, self.calls, self.matcher)
        return self.guided and self.request.guidance.scope != "all" and any(part is not None for part in parts)

    def in_scope(self) -> bool:
        """Whether ``guidance.scope`` means the next token of a row that is ``scoped``."""
        if self.reasoning is not None and self.reasoning.place != "behind":
            return self.request.guidance.scope == "reasoning"
        if self.request.guidance.scope == "reasoning" or (self.calls is not None and self.calls.passed):
            return False
        return self.matcher is None or self.matcher.free

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
        if self.calls is not None and not self.reasoned:
            self.calls.add(token)

    @property
    def reasons(self) -> bool:
        """Whether the next token belongs to the reasoning for sure."""
        return self.reasoning is not None and self.reasoning.place == "inside"

    @property
    def reasoned(self) -> bool:
        """Whether the last token belongs to the reasoning, and so not to the structure."""
        return self.reasoning is not None and self.reasoning.took

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
        return self.guided and self.steers and output == 0 and not self.request.guidance.allow_empty
