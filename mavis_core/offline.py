"""The engine without a server: many prompts in, all their answers out; for scripts, rollouts and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tqdm import tqdm

from mavis_core.errors import InvalidRequestError
from mavis_core.guidance import Guidance
from mavis_core.messages import FinishReason, GuidanceStats, Request, TokenLogprobs, TokenReport
from mavis_core.sampling_params import SamplingParams

if TYPE_CHECKING:
    from mavis_core.engine import Engine


@dataclass(slots=True)
class Completion:
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
) -> list[list[Completion]]:
    """Answer every prompt; per prompt its ``n`` choices, in the order of the prompts.

    Args:
        engine: idle.
        prompts: texts (encoded by the engine's tokenizer, special tokens added) or token ids.
        sampling: one for all, or one per prompt.
        guidance: likewise; None is unguided.
        progress: show a bar.

    Raises:
        InvalidRequestError: a prompt cannot be served (nothing has run then), or an answer cannot go on in its
            structure.
    """
    samplings = [sampling] * len(prompts) if isinstance(sampling, SamplingParams) else list(sampling)
    plain = guidance if guidance is not None else Guidance()
    guidances = [plain] * len(prompts) if isinstance(plain, Guidance) else list(plain)
    answers: list[list[Completion]] = []
    for i, (prompt, params, steer) in enumerate(zip(prompts, samplings, guidances, strict=True)):
        try:
            engine.add(Request(str(i), tuple(_encode(engine, prompt)), params, steer))
        except InvalidRequestError:
            engine.abort_all()
            raise
        answers.append([Completion(index) for index in range(params.n)])
    with tqdm(total=len(prompts), disable=not progress, unit="prompt") as bar:
        while engine.has_work:
            for output in engine.step():
                if output.error is not None:
                    engine.abort_all()
                    raise InvalidRequestError(output.error, output.error_param)
                if output.prompt_logprobs is not None:
                    for choice in answers[int(output.request_id)]:
                        choice.prompt_logprobs = output.prompt_logprobs
                for delta in output.deltas:
                    choice = answers[int(output.request_id)][delta.index]
                    choice.text += delta.text
                    choice.token_ids += delta.token_ids
                    choice.logprobs += delta.logprobs
                    choice.reports += delta.reports
                    choice.finish_reason = delta.finish_reason
                    choice.stop_reason = delta.stop_reason
                    choice.guidance = delta.guidance
                bar.update(output.finished)
    return answers


def _encode(engine: Engine, prompt: str | Sequence[int]) -> Sequence[int]:
    if not isinstance(prompt, str):
        return prompt
    assert engine.tokenizer is not None, "text prompts need an engine with a tokenizer"
    return engine.tokenizer.encode(prompt)
