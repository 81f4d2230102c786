"""The engine without a server: many prompts in, all their answers out; for scripts, rollouts and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tqdm import tqdm

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import (
    FinishReason,
    GuidanceStats,
    Request,
    RequestOutput,
    TokenLogprobs,
    TokenReport,
)
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.offline_search import run_searches
from mavis_core.search.driver import check_search
from mavis_core.search.scorer import SequenceScorer

if TYPE_CHECKING:
    from mavis_core.engine import Engine

# One group: prompts run in order, so that the choices of a prompt run together and share its prefill.
TOGETHER = "offline"


@dataclass(slots=True)
class CompletionOutput:
    """One finished choice."""

    index: int
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    guidance: GuidanceStats | None = None
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    reports: list[TokenReport] = field(default_factory=list)
    prompt_logprobs: tuple[TokenLogprobs | None, ...] | None = None


def generate(
    engine: Engine,
    prompts: Sequence[str | Sequence[int]],
    sampling: SamplingParams | Sequence[SamplingParams],
    guidance: Guidance | Sequence[Guidance] | None = None,
    progress: bool | Callable[[int], object] = False,
    scorer: SequenceScorer | None = None,
    prompted: Sequence[Sequence[PromptedObjective]] | None = None,
    drawn: Callable[[int], object] | None = None,
) -> list[list[CompletionOutput]]:
    """Answer every prompt: its ``n`` choices, in the order of the prompts. Searches run last, together.

    Args:
        engine: idle.
        prompts: texts (encoded by the engine's tokenizer, special tokens added) or token ids.
        sampling: one for all, or one per prompt.
        guidance: likewise; None is unguided.
        progress: show a bar, or a function that is told how many more prompts are answered.
        scorer: for requests that search by rewards.
        prompted: objectives in words, per prompt; None is none.
        drawn: told how many tokens more there are, of an answer that has got some.

    Raises:
        InvalidRequestError: a prompt cannot be served (nothing has run then, but what a search asks of the engine is
            checked when it runs), or an answer cannot go on in its structure. Nothing is left in the engine.
        RequestFailedError: the engine cannot go on with an answer. Nothing is left in it either.
    """
    samplings = [sampling] * len(prompts) if isinstance(sampling, SamplingParams) else list(sampling)
    plain = guidance if guidance is not None else Guidance()
    guidances = [plain] * len(prompts) if isinstance(plain, Guidance) else list(plain)
    answers: list[list[CompletionOutput]] = []
    searched: list[Request] = []
    in_words: list[tuple[PromptedObjective, ...]] = (
        [()] * len(prompts) if prompted is None else list(map(tuple, prompted))
    )
    for i, (prompt, params, steer, words) in enumerate(zip(prompts, samplings, guidances, in_words, strict=True)):
        request = Request(str(i), tuple(_encode(engine, prompt)), params, steer, group=TOGETHER, prompted=tuple(words))
        answers.append([CompletionOutput(index) for index in range(params.n)])
        searched += _add(engine, request, scorer)
    with tqdm(total=len(prompts), disable=progress is not True, unit="prompt") as bar:
        answered = progress if callable(progress) else bar.update
        for output in _run(engine, searched, scorer):
            _collect(output, answers)
            answered(output.finished)
            if drawn is not None:
                drawn(sum(len(delta.token_ids) for delta in output.deltas))
    return answers


def _add(engine: Engine, request: Request, scorer: SequenceScorer | None) -> list[Request]:
    """Add a request to ``engine``, or return it, with a seed, if it searches; a refusal empties the engine."""
    try:
        if request.guidance.search is None:
            engine.add(request)
            return []
        check_search(request, engine.info, scorer)
        return [engine.seeds.seeded(request)]
    except InvalidRequestError:
        engine.abort_all()
        raise


def _run(engine: Engine, searched: Sequence[Request], scorer: SequenceScorer | None) -> Iterator[RequestOutput]:
    """Outputs of the requests that ``engine`` has, then of those that search."""
    while engine.has_work:
        for output in engine.step():
            if output.exception is not None:
                engine.abort_all()
                raise output.exception
            yield output
    for outputs in run_searches(engine, searched, scorer) if searched else ():
        yield from outputs


def _collect(output: RequestOutput, answers: list[list[CompletionOutput]]) -> None:
    choices = answers[int(output.request_id)]
    if output.prompt_logprobs is not None:
        for choice in choices:
            choice.prompt_logprobs = output.prompt_logprobs
    for delta in output.deltas:
        choice = choices[delta.index]
        choice.text += delta.text
        choice.token_ids += delta.token_ids
        choice.logprobs += delta.logprobs
        choice.reports += delta.reports
        choice.finish_reason = delta.finish_reason
        choice.stop_reason = delta.stop_reason
        choice.guidance = delta.guidance


def _encode(engine: Engine, prompt: str | Sequence[int]) -> Sequence[int]:
    if not isinstance(prompt, str):
        return prompt
    assert engine.tokenizer is not None, "text prompts need an engine with a tokenizer"
    return engine.tokenizer.encode(prompt)
