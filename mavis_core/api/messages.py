"""The messages that go into an engine and come out of it: frozen values that can be sent to another process.

In: ``Request``, ``Steer``, ``Abort``, ``LoadValue`` and ``UnloadValue``. Out: one ``RequestOutput`` per request and
step in which something happened, and one ``StepStats`` per step. They cross a thread or a process boundary unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from mavis_core.api.errors import InvalidRequestError, RequestFailedError
from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.room import Room
from mavis_core.api.sampling_params import SamplingParams

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and how to continue it. ``id`` is unique among the requests in flight.

    ``output_token_ids`` are tokens of the answer that are there already: every choice goes on from them as if it had
    drawn them itself, so that limits, penalties, stop strings and noise do not notice. Only further ones are sent.
    Not with a structure.

    Requests of one ``group``, those of one HTTP request, take their turns as one; without it each is its own.

    Requests read each other's cached prefixes only under the same ``cache_salt``: how long a prompt takes tells
    whether somebody sent its beginning before, and whoever minds gives every user a salt of their own.

    ``prompted`` are objectives in words, named by ``guidance`` like loaded ones. One that does not steer is not even
    evaluated: it would cost a place, where the value of a loaded one costs next to nothing.

    ``answers`` are there already, one for each choice, to be scored: a choice takes its tokens one after the other
    where others draw, reports each of them, and ends behind the last, whatever would have stopped it.
    """

    id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParams
    guidance: Guidance
    cache_salt: str | None = None
    output_token_ids: tuple[int, ...] = ()
    group: str | None = None
    prompted: tuple[PromptedObjective, ...] = ()
    answers: tuple[tuple[int, ...], ...] = ()

    @property
    def in_words(self) -> tuple[PromptedObjective, ...]:
        """Those of ``prompted`` that are evaluated."""
        return tuple(objective for objective in self.prompted if self.guidance.steers(objective.name))

    @property
    def prompts(self) -> tuple[tuple[int, ...], ...]:
        """What every choice reads in parallel: the prompt, then one for each companion."""
        others = (objective.prompt_token_ids for objective in self.in_words)
        return (self.prompt_token_ids, *(prompt for prompt in others if prompt != self.prompt_token_ids))

    @property
    def places(self) -> int:
        """Places that it may have in the batch at once, those of companions too."""
        search = self.guidance.search
        return (self.sampling.n if search is None else search.rows) * len(self.prompts)

    def steered(self, guidance: Guidance, prompted: tuple[PromptedObjective, ...] | None = None) -> Request:
        """The same request with this guidance; ``prompted`` are its objectives in words, None: those that it has."""
        return replace(self, guidance=guidance, prompted=self.prompted if prompted is None else prompted)


@dataclass(frozen=True, slots=True)
class Steer:
    """Steer a request in flight otherwise from its next token on; answered by one event with this ``id``.

    The request that is running is not changed, as none ever is: the engine goes on with ``Request.steered``.
    """

    id: str
    request_id: str
    guidance: Guidance
    prompted: tuple[PromptedObjective, ...] | None = None


@dataclass(frozen=True, slots=True)
class Abort:
    """Forget a request: its rows and KV are freed, nothing more is emitted. Unknown ids are ignored."""

    request_id: str


@dataclass(frozen=True, slots=True)
class LoadValue:
    """Load the values at ``source`` into the running engine; answered by one event with this ``id``."""

    id: str
    source: str


@dataclass(frozen=True, slots=True)
class UnloadValue:
    """Unload the value ``name``; answered by one event with this ``id``."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Log-probabilities in nats at one position.

    Attributes:
        token_id: the sampled token, or the prompt's.
        logprob: of that token; prompts and unguided rows: raw log-softmax of the model's logits at T = 1 (as
            vLLM), guided rows: log p, the distribution it was drawn from.
        top: the most likely tokens as (id, logprob), best first; at most as many as asked for.
        drawn_logprob: of the sampled token under the distribution it was drawn from, temperature and filters
            included; equal to ``logprob`` for guided rows and for prompts. Greedy rows: as if at T = 1.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    drawn_logprob: float


@dataclass(frozen=True, slots=True)
class TokenReport:
    """Steering of one token (``guidance.report``), or of one of ``Request.answers``.

    Attributes:
        logprob: log p of the sampled token under the tilted distribution, nats. Of a given token that could not have
            been drawn, as it is no candidate, -inf; where nothing is tilted, under what would have been drawn from.
        base_logprob: its log-probability under the policy at the request's temperature, full vocabulary; -inf of a
            given token that the request bans where it stands.
        steering_nats, truncation_nats: this step's exact KL in its two parts.
        values: objective -> V(s + token), z-scored reward; nats for objectives in words.
        steered: whether ``guidance.scope`` means this token; one that it does not mean was drawn from the policy, so
            that the two log-probabilities are the same and both parts of the KL are 0.
    """

    token_id: int
    logprob: float
    base_logprob: float
    steering_nats: float
    truncation_nats: float
    values: dict[str, float]
    steered: bool = True


@dataclass(frozen=True, slots=True)
class SearchStats:
    """What ``guidance.search`` did for one choice.

    Attributes:
        method: of ``SearchParams``.
        rounds: times that hypotheses went on.
        samples: continuations that were drawn.
        tokens: generated in all of them.
        score: of the answer: weighted values or rewards in z-units, of "beam" its tilted log-probability.
        kl_bound_nats: most KL that choosing can have cost, beside the KL of what was drawn from; None of "beam", which
            draws nothing.
    """

    method: str
    rounds: int
    samples: int
    tokens: int
    score: float
    kl_bound_nats: float | None


@dataclass(frozen=True, slots=True)
class GuidanceStats:
    """Totals over the steered tokens that a choice has so far; means of no tokens are 0.

    Attributes:
        beta: the strength in use (the recommended one if the request gave none), 0 while unguided.
        tokens: summed over: those that ``guidance.scope`` means, the stop token included.
        steering_nats: sum of KL(p || ref renormalised over the candidates).
        truncation_nats: sum of -log ref(candidates). The exact full-vocabulary KL is the sum of the two.
        sampled_nats: sum of log p(a)/ref(a) over the sampled tokens, the papers' one-sample estimate; given tokens that
            could not have been drawn are left out.
        values: objective -> mean of V over the chosen tokens for which it was named, z units; nats for objectives in
            words.
        topk_base_mass: mean of ref(candidates).
        value_spread: objective -> mean over steps of (max - min over the candidates).
        companion_tokens: tokens that the policy has read beside this choice for its objectives in words.
        search: what found the answer, of a searched choice.
        found_weights: objective -> mean of the weight that it had, in units of ``objective_weights`` at ``beta``, where
            weights are found at each step (``Guidance.solved``); else None.
        floors_missed: objective -> tokens at which its floor was not met; likewise.
    """

    beta: float
    tokens: int
    steering_nats: float
    truncation_nats: float
    sampled_nats: float
    values: dict[str, float]
    topk_base_mass: float
    value_spread: dict[str, float]
    companion_tokens: int = 0
    search: SearchStats | None = None
    found_weights: dict[str, float] | None = None
    floors_missed: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class SteeringChange:
    """How a choice is steered from its token number ``token`` on, counted from 0; ``beta`` is the strength in use."""

    token: int
    guidance: Guidance
    beta: float


@dataclass(frozen=True, slots=True)
class ChoiceDelta:
    """What happened to one choice in one step (a step gives a choice at most one token).

    Attributes:
        index: which of the request's ``n`` choices.
        text: visible text that became final in this step; a stop string or a split character may hold some back.
        token_ids: tokens generated since the last delta of this choice, the stop token included.
        logprobs: per token in ``token_ids``, or empty when not asked for.
        reports: per token, or empty when not asked for.
        finish_reason: set in the last delta of the choice.
        stop_reason: the stop string or stop token id that ended it, None for the model's own EOS.
        guidance: totals, in the last delta of a choice, None for one that never was guided.
        change: set in the delta of the first token that is drawn under another steering than the one before.
        kl_nats: the exact KL of each token in ``token_ids`` that is steered.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...] = ()
    reports: tuple[TokenReport, ...] = ()
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    guidance: GuidanceStats | None = None
    change: SteeringChange | None = None
    kl_nats: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestOutput:
    """Deltas of one request from one step, or from several where its reader came late. ``finished`` is True exactly
    once, in the last one.

    ``error`` is set (and ``finished`` True) when the request failed alone. ``error_param`` is then the field at fault,
    "" where the request is wrong but no one field, and None where the engine failed it.

    ``prompt_logprobs``, one entry per prompt token and None for the first, comes once, with the first token of the
    first choice. ``cached_tokens`` of the prompt were read from the prefix cache. ``queue_seconds`` is how long the
    first choice waited for a place.
    """

    request_id: str
    prompt_tokens: int
    deltas: tuple[ChoiceDelta, ...]
    finished: bool
    error: str | None = None
    error_param: str | None = None
    prompt_logprobs: tuple[TokenLogprobs | None, ...] | None = None
    cached_tokens: int = 0
    queue_seconds: float = field(default=0.0, compare=False)

    @property
    def exception(self) -> InvalidRequestError | RequestFailedError | None:
        """``error`` as an exception to raise, or None."""
        if self.error is None:
            return None
        if self.error_param is None:
            return RequestFailedError(self.error)
        return InvalidRequestError(self.error, self.error_param or None)


@dataclass(frozen=True, slots=True)
class Metric:
    """How a number of ``StepStats`` is shown to whoever watches: ``seconds`` are a histogram, ``name`` is vLLM's.

    ``label``, its name and its value, tells apart the fields that are one metric together.
    """

    kind: Literal["gauge", "counter", "seconds"]
    name: str
    about: str
    label: tuple[str, str] | None = None


WAITING = "num_requests_waiting_by_reason"
WAITING_ABOUT = "Requests waiting for a place, or for the structure of their answer"


@dataclass(frozen=True, slots=True)
class StepStats:
    """One engine step, for metrics, or the state between two where ``idle``. Times in seconds, on the device's clock
    where it has one. A field is a metric by its annotation alone.

    ``prefix_cache_queries`` counts the tokens of the rows admitted for the first time, ``prefix_cache_hits`` those of
    them that were in the cache, companions included. ``kv_cache_usage`` is the share of blocks that rows hold, cached
    ones aside. ``companion_tokens`` were computed for companions; ``running`` and ``prompt_tokens`` are without them,
    and ``generation_tokens`` without ``scored_tokens``. ``compiling`` requests wait for the structure of their answers,
    and are not among ``waiting``.
    """

    running: Annotated[int, Metric("gauge", "num_requests_running", "Rows in the batch")]
    waiting: Annotated[int, Metric("gauge", WAITING, WAITING_ABOUT, ("reason", "capacity"))]
    prompt_tokens: Annotated[int, Metric("counter", "prompt_tokens", "Prompt tokens computed")]
    generation_tokens: Annotated[int, Metric("counter", "generation_tokens", "Tokens generated")]
    preemptions: Annotated[int, Metric("counter", "num_preemptions", "Rows preempted for lack of KV")]
    kv_cache_usage: Annotated[
        float, Metric("gauge", "kv_cache_usage_perc", "Share of the KV cache that rows hold, 0 to 1")
    ]
    policy_forward_seconds: Annotated[float, Metric("seconds", "policy_forward_seconds", "Policy forward per step")]
    value_forward_seconds: Annotated[float, Metric("seconds", "value_forward_seconds", "Values' forward per step")]
    prefix_cache_queries: Annotated[
        int, Metric("counter", "prefix_cache_queries", "Prompt tokens looked up in the prefix cache")
    ] = 0
    prefix_cache_hits: Annotated[
        int, Metric("counter", "prefix_cache_hits", "Prompt tokens found in the prefix cache")
    ] = 0
    companion_tokens: Annotated[
        int, Metric("counter", "companion_tokens", "Tokens computed beside answers for objectives in words")
    ] = 0
    scored_tokens: Annotated[int, Metric("counter", "scored_tokens", "Tokens of given answers scored")] = 0
    idle: bool = False
    compiling: Annotated[int, Metric("gauge", WAITING, WAITING_ABOUT, ("reason", "deferred"))] = 0


@dataclass(frozen=True, slots=True)
class ObjectiveInfo:
    """What a client may know about an objective (``GET /v1/objectives``).

    ``reward_mean`` and ``reward_std`` z-score the reward; ``recommended_beta`` is tuned to 0.2 nats of
    steering KL per token; ``weight_range`` is what the value accepts. ``additive``: V says what the token alone adds
    (log-ratios), so that a text's is the sum over its tokens; else V at the last token is the text's. ``conditioned``:
    the value takes the weights into account (``ValueSpec.conditioned``). ``pull_range`` is None, or what beta * lambda
    may be where the value was trained with the weights as an input.
    """

    name: str
    description: str
    kind: str
    value: str
    reward_mean: float
    reward_std: float
    recommended_beta: float
    weight_range: tuple[float, float]
    additive: bool = False
    conditioned: bool = False
    pull_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Constants of a loaded engine that a server needs to check and describe requests.

    ``kv_cache_tokens`` is how many tokens all rows may have in the KV cache together, ``kv_cache_bytes`` what all
    models' pools take once they are used.

    ``sampling_defaults`` are the checkpoint's own (generation_config.json), by ``SamplingParams`` names: what a
    request that says nothing gets, as vLLM's ``--generation-config auto``.
    """

    model: str
    max_model_len: int
    vocab_size: int
    max_num_seqs: int
    dtype: str
    device: str
    objectives: tuple[ObjectiveInfo, ...]
    sampling_defaults: Mapping[str, float] = field(default_factory=dict)
    kv_cache_tokens: int = 0
    kv_cache_bytes: int = 0
    block_size: int = 1

    @property
    def room(self) -> Room:
        blocks = self.kv_cache_tokens // self.block_size
        return Room(self.max_model_len, self.max_num_seqs, blocks, self.block_size)


def failure(request_id: str, prompt_tokens: int, message: str, param: str | None = None) -> RequestOutput:
    """The last output of a request that failed alone; ``param`` (also "") marks an invalid request."""
    return RequestOutput(request_id, prompt_tokens, (), True, message, param)
