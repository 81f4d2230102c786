"""The engine without a server: many prompts in, all their answers out; for scripts, rollouts and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
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
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.offline_search import run_searches
from mavis_core.search.driver import check_search
from mavis_core.search.scorer import SequenceScorer

if TYPE_CHECKING:
    from mavis_core.engine import Engine

TOGETHER = "offline"  # nobody waits for one answer: in order of arrival, choices beside each other on one prefill


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
    progress: bool = False,
    scorer: SequenceScorer | None = None,
) -> list[list[CompletionOutput]]:
    """Answer every prompt; per prompt its ``n`` choices, in the order of the prompts. Searches run last, together.

    Args:
        engine: idle.
        prompts: texts (encoded by the engine's tokenizer, special tokens added) or token ids.
        sampling: one for all, or one per prompt.
        guidance: likewise; None is unguided.
        progress: show a bar.
        scorer: of requests that search by rewards.

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
    for i, (prompt, params, steer) in enumerate(zip(prompts, samplings, guidances, strict=True)):
        request = Request(str(i), tuple(_encode(engine, prompt)), params, steer, group=TOGETHER)
        answers.append([CompletionOutput(index) for index in range(params.n)])
        try:
            if steer.search is None:
                engine.add(request)
            else:
                check_search(request, engine.info, scorer)
                searched.append(engine.seeds.seeded(request))
        except InvalidRequestError:
            engine.abort_all()
            raise
    with tqdm(total=len(prompts), disable=not progress, unit="prompt") as bar:
        while engine.has_work:
            for output in engine.step():
                if output.exception is not None:
                    engine.abort_all()
                    raise output.exception
                _collect(output, answers)
                bar.update(output.finished)
        for outputs in run_searches(engine, searched, scorer) if searched else ():
            for output in outputs:
                _collect(output, answers)
            bar.update(1)
    return answers


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
