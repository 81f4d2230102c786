"""Answers a request that searches like any other: outputs come as soon as their text is certain.

The tokens that all remaining hypotheses share are sent; with one beam that is every chosen chunk. The last output
carries the steering of the whole answer and what the search did.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from mavis_core.api.errors import ContextLengthError, InvalidRequestError
from mavis_core.api.messages import ChoiceDelta, EngineInfo, Request, RequestOutput, SearchStats
from mavis_core.api.sampling_params import GREEDY
from mavis_core.api.search_params import SearchParams
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.search.beam import beam_search
from mavis_core.search.chunks import Score, chunk_search
from mavis_core.search.hypothesis import Hypothesis, common_length
from mavis_core.search.kl_bound import best_of_bound, chunk_bound
from mavis_core.search.rounds import Generate, Rounds
from mavis_core.search.scorer import SequenceScorer, standardise, text_values, weighted
from mavis_core.text.detokenizer import Detokenizer


async def search(
    generate: Generate,
    request: Request,
    info: EngineInfo,
    tokenizer: Tokenizer | None,
    scorer: SequenceScorer | None = None,
) -> AsyncGenerator[RequestOutput, None]:
    """Outputs of ``request``, whose ``guidance.search`` is set; closing it early aborts everything in flight.

    Args:
        generate: an ``EngineClient``'s.
        request: with a seed (``seeds.py``).
        info, tokenizer: that engine's.
        scorer: for ``scorer: "rewards"``, or None where there is none.

    Raises:
        InvalidRequestError: what is asked for cannot be searched; also whatever ``generate`` raises.
    """
    check_search(request, info, scorer)
    params = request.guidance.search
    assert params is not None
    longest = max(map(len, request.prompts))
    if longest >= info.max_model_len:
        raise ContextLengthError(longest, info.max_model_len - 1)
    room = max(1, info.room.answer(list(map(len, request.prompts))))  # where nothing fits, the engine says what to do
    most = room if request.sampling.max_tokens is None else min(request.sampling.max_tokens, room)
    rounds = Rounds(generate, _inner(request, params), most)
    if params.method == "beam":
        found = beam_search(rounds, params)
    else:
        found = chunk_search(rounds, params, _score(request, info, tokenizer, scorer), most)
    answer = _Answer(request, tokenizer)
    async with aclosing(found):
        async for alive in found:
            best = alive[0]
            if common := answer.advance(best, common_length(alive, answer.sent)):
                yield replace(common, cached_tokens=rounds.cached_tokens, queue_seconds=rounds.queue_seconds)
    last = answer.finish(best, _stats(params, rounds, best))
    yield replace(last, cached_tokens=rounds.cached_tokens, queue_seconds=rounds.queue_seconds)


def check_search(request: Request, info: EngineInfo, scorer: SequenceScorer | None) -> None:
    """Refuse requests that a search cannot answer.

    Raises:
        InvalidRequestError: naming the field.
    """
    params, sampling = request.guidance.search, request.sampling
    assert params is not None
    if not request.guidance.active:
        raise InvalidRequestError(
            "guidance.search: goes by objectives: objective_weights (and guidance.beta) must not all be 0",
            "guidance.search",
        )
    if sampling.n != 1:
        raise InvalidRequestError(f"n={sampling.n}: must be 1 with guidance.search", "n")
    if sampling.max_tokens == 0:
        raise InvalidRequestError("max_tokens=0: must be at least 1 with guidance.search", "max_tokens")
    if sampling.prompt_logprobs is not None:
        raise InvalidRequestError("prompt_logprobs: cannot be combined with guidance.search", "prompt_logprobs")
    if sampling.structure is not None:
        raise InvalidRequestError("structure: cannot be combined with guidance.search", "structure")
    if params.method != "beam" and sampling.temperature == 0:
        raise InvalidRequestError(
            f"temperature=0 (as anything below {GREEDY:g}): search method {params.method!r} chooses among draws, which "
            "would all be the same",
            "temperature",
        )
    if params.scorer == "rewards":
        additive = {objective.name for objective in info.objectives if objective.additive}  # not scaled as rewards
        additive |= {objective.name for objective in request.prompted}
        known = [] if scorer is None else [name for name in scorer.names if name not in additive]
        if missing := [name for name, weight in request.guidance.weights.items() if weight and name not in known]:
            raise InvalidRequestError(
                f"guidance.search.scorer='rewards': no reward is loaded for {', '.join(missing)}; "
                f"loaded: {', '.join(known) or 'none'}",
                "guidance.search.scorer",
            )


def _inner(request: Request, params: SearchParams) -> Request:
    """The request that every round continues; it asks for reports, where values and probabilities are read."""
    sampling, guidance = request.sampling, request.guidance
    # A budget of 0 nats scales the tilt to nothing, while values are still evaluated.
    limit = guidance.max_kl_per_token if params.tilt else 0.0
    return replace(
        request,
        sampling=replace(sampling, ranked=params.method == "beam"),
        guidance=replace(guidance, report=True, max_kl_per_token=limit),
    )


def _score(request: Request, info: EngineInfo, tokenizer: Tokenizer | None, scorer: SequenceScorer | None) -> Score:
    weights, params = request.guidance.weights, request.guidance.search

    async def by_values(hypotheses: Sequence[Hypothesis]) -> list[float]:
        return [weighted(weights, text_values(h.reports, info.objectives)) for h in hypotheses]

    async def by_rewards(hypotheses: Sequence[Hypothesis]) -> list[float]:
        assert scorer is not None and tokenizer is not None, "rewards read text"
        rows = await asyncio.to_thread(_rewards, scorer, request, tokenizer, hypotheses)
        return [weighted(weights, standardise(scorer.names, row, info.objectives)) for row in rows]

    return by_rewards if params is not None and params.scorer == "rewards" else by_values


def _rewards(
    scorer: SequenceScorer, request: Request, tokenizer: Tokenizer, hypotheses: Sequence[Hypothesis]
) -> Sequence[Sequence[float]]:
    prompt = tokenizer.decode(request.prompt_token_ids, skip_special_tokens=True)
    texts = [_visible(request, tokenizer, h) for h in hypotheses]
    return scorer.score([prompt] * len(texts), texts)


def _visible(request: Request, tokenizer: Tokenizer, hypothesis: Hypothesis) -> str:
    """The text that a reader of this hypothesis would see."""
    reader = _Answer(request, tokenizer)
    return reader.read(hypothesis, len(hypothesis.token_ids)) + reader.rest()


def _stats(params: SearchParams, rounds: Rounds, best: Hypothesis) -> SearchStats:
    bounds = {
        "best_of": best_of_bound(params.successors),
        "chunk": chunk_bound(params.beams, params.successors, rounds.count),
        "beam": None,
    }
    return SearchStats(params.method, rounds.count, rounds.samples, rounds.tokens, best.score, bounds[params.method])


class _Answer:
    """How much of the answer was sent, and its text so far."""

    def __init__(self, request: Request, tokenizer: Tokenizer | None) -> None:
        self._request = request
        sampling = request.sampling
        backend = None if tokenizer is None else tokenizer.backend_tokenizer
        prompt, shown = request.prompt_token_ids, sampling.shown_token_ids
        self._text = Detokenizer(backend, sampling.stop, sampling.skip_special_tokens, prompt, shown)
        self.sent = 0

    def read(self, hypothesis: Hypothesis, length: int) -> str:
        """Text that became final with the tokens up to ``length``; a stop token has none."""
        text = ""
        for at in range(self.sent, length):
            last = at == len(hypothesis.token_ids) - 1
            if last and hypothesis.finish_reason == "stop" and not isinstance(hypothesis.stop_reason, str):
                break
            text += self._text.push(hypothesis.token_ids[at], at + 1 > self._request.sampling.min_tokens)[0]
        self.sent = length
        return text

    def rest(self) -> str:
        """Text that was held back, at the end."""
        return self._text.flush()

    def advance(self, hypothesis: Hypothesis, length: int) -> RequestOutput | None:
        """An output of the tokens up to ``length``, or None if all of them were sent."""
        if length == self.sent:
            return None
        return self._output(self._delta(hypothesis, length), finished=False)

    def finish(self, hypothesis: Hypothesis, stats: SearchStats) -> RequestOutput:
        assert hypothesis.guidance is not None, "a searched request is guided"
        delta = self._delta(hypothesis, len(hypothesis.token_ids))
        last = replace(
            delta,
            text=delta.text + self.rest(),
            finish_reason=hypothesis.finish_reason,
            stop_reason=hypothesis.stop_reason,
            guidance=replace(hypothesis.guidance, search=stats),
        )
        return self._output(last, finished=True)

    def _delta(self, hypothesis: Hypothesis, length: int) -> ChoiceDelta:
        new = slice(self.sent, length)
        reports = hypothesis.reports[new]
        kl_nats = tuple(report.steering_nats + report.truncation_nats for report in reports if report.steered)
        told = reports if self._request.guidance.report else ()
        text = self.read(hypothesis, length)
        return ChoiceDelta(0, text, hypothesis.token_ids[new], hypothesis.logprobs[new], told, kl_nats=kl_nats)

    def _output(self, delta: ChoiceDelta, finished: bool) -> RequestOutput:
        return RequestOutput(self._request.id, len(self._request.prompt_token_ids), (delta,), finished)
