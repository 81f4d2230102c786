"""Answers of one point, and their price: KL, tokens, seconds, and how likely the base model finds them.

Every arm answers the same prompts at T = 1 over the same k candidates, with the same noise, the same limit and the
same rule for stop tokens (none as the first). The base model does too, so its truncation is the arms' own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mavis_core.api.errors import RunError
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.search.scorer import SequenceScorer
from value_models import durable


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """One response.

    Attributes:
        prompt: its number in the file.
        sample: its number below the prompt.
        text: what a reader sees, and what rewards score.
        finish: "stop" or "length".
        tokens: drawn, the stop token included.
        drawn: tokens that were drawn to find it, of a search more than its own.
        steering_nats, truncation_nats: exact KL to the base model in its two parts, summed over the tokens; the first
            with the bound on what choosing costs, of a search.
        base_nll: -log-probability of the tokens under the base model's full distribution, nats; the first one's
            without stop tokens where the answer was steered (they are masked there).
        seconds: the point's wall time over its answers; they are decoded in one batch.
    """

    prompt: int
    sample: int
    text: str
    finish: str
    tokens: int
    drawn: int
    steering_nats: float
    truncation_nats: float
    base_nll: float
    seconds: float


def answer(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    guidance: Guidance,
    samples: int,
    max_tokens: int,
    seed: int,
    scorer: SequenceScorer | None = None,
) -> list[SampledAnswer]:
    """Sample every prompt ``samples`` times.

    Args:
        engine: idle.
        prompts: token ids; each leaves room for ``max_tokens`` + 1 more.
        guidance: an inactive one is the base model over ``guidance.top_k`` candidates.
        seed: the noise of answer (prompt, sample) is a function of these three only.
        scorer: of a search by rewards.
    """
    engine.forget_prefixes()  # no point is quicker because of the one before
    began = time.perf_counter()
    found = _draw(engine, prompts, guidance, samples, max_tokens, seed, scorer)
    seconds = (time.perf_counter() - began) / (len(prompts) * samples)
    nlls = iter(_nlls(engine, prompts, found))
    return [
        answer_of(number, sample, choice, next(nlls), seconds)
        for number, choices in enumerate(found)
        for sample, choice in enumerate(choices)
    ]


def answer_of(prompt: int, sample: int, choice: CompletionOutput, base_nll: float, seconds: float) -> SampledAnswer:
    steering, truncation = _nats(choice)
    return SampledAnswer(
        prompt=prompt,
        sample=sample,
        text=choice.text,
        finish=str(choice.finish_reason),
        tokens=len(choice.token_ids),
        drawn=_drawn(choice),
        steering_nats=steering,
        truncation_nats=truncation,
        base_nll=base_nll,
        seconds=seconds,
    )


def _nlls(engine: Engine, prompts: Sequence[Sequence[int]], found: Sequence[Sequence[CompletionOutput]]) -> list[float]:
    """As decoding reported them; a search reports only what it chose between, so that its answers are read again."""
    choices = [choice for each in found for choice in each]
    if all(len(choice.reports) == len(choice.token_ids) for choice in choices):
        return [reported_nll(choice) for choice in choices]
    if all(len(choice.logprobs) == len(choice.token_ids) for choice in choices):
        return [-sum(token.logprob for token in choice.logprobs) for choice in choices]
    texts = [[*ids, *choice.token_ids] for ids, each in zip(prompts, found, strict=True) for choice in each]
    return base_nlls(engine, texts, [len(ids) for ids, each in zip(prompts, found, strict=True) for _ in each])


def reported_nll(choice: CompletionOutput) -> float:
    return -sum(token.base_logprob for token in choice.reports)


def base_nlls(engine: Engine, texts: Sequence[Sequence[int]], prompt_lengths: Sequence[int]) -> list[float]:
    """-log p of each text's tokens after its prompt, under the base model at T = 1: one prefill each, no steering."""
    read = generate(engine, texts, SamplingParams(max_tokens=0, prompt_logprobs=0))
    found = []
    for (choice,), length in zip(read, prompt_lengths, strict=True):
        assert choice.prompt_logprobs is not None
        found.append(-sum(token.logprob for token in choice.prompt_logprobs[length:] if token is not None))
    return found


def write(path: Path, answers: Sequence[SampledAnswer]) -> None:
    lines = "".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in answers)
    durable.replace(path, lambda part: part.write_text(lines, encoding="utf-8"))


def read(path: Path) -> list[SampledAnswer]:
    """What ``write`` wrote.

    Raises:
        RunError: naming the file.
    """
    try:
        return [SampledAnswer(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path}: {error}; remove it and run the same command again to make it anew") from error


def _draw(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    guidance: Guidance,
    samples: int,
    max_tokens: int,
    seed: int,
    scorer: SequenceScorer | None,
) -> list[list[CompletionOutput]]:
    """Per prompt its answers; a search has one, so that it is asked for as often as there are samples."""
    numbers = range(len(prompts))
    if guidance.search is None:
        plain = [sampling_params(f"{seed}/{i}", samples, max_tokens, guidance) for i in numbers]
        return generate(engine, prompts, plain, dataclasses.replace(guidance, report=guidance.active))
    repeated = [ids for ids in prompts for _ in range(samples)]
    each = [sampling_params(f"{seed}/{i}/{j}", 1, max_tokens, guidance) for i in numbers for j in range(samples)]
    found = [choice for (choice,) in generate(engine, repeated, each, guidance, scorer=scorer)]
    return [found[i : i + samples] for i in range(0, len(found), samples)]


def sampling_params(noise: str, samples: int, max_tokens: int, guidance: Guidance) -> SamplingParams:
    """How every arm draws; ``noise`` names what its random numbers are a function of."""
    digest = hashlib.blake2b(noise.encode(), digest_size=8).digest()
    plain = SamplingParams(
        n=samples, max_tokens=max_tokens, min_tokens=1, seed=int.from_bytes(digest, "little", signed=True)
    )
    if guidance.active:
        return plain
    return dataclasses.replace(plain, top_k=guidance.top_k, logprobs=0)


def _drawn(choice: CompletionOutput) -> int:
    search = choice.guidance.search if choice.guidance is not None else None
    return len(choice.token_ids) if search is None else search.tokens


def _nats(choice: CompletionOutput) -> tuple[float, float]:
    """(steering, truncation): of the base model, what its k candidates leave out."""
    if choice.guidance is None:
        return 0.0, sum(token.drawn_logprob - token.logprob for token in choice.logprobs)
    search = choice.guidance.search
    chosen = 0.0 if search is None or search.kl_bound_nats is None else search.kl_bound_nats
    return choice.guidance.steering_nats + chosen, choice.guidance.truncation_nats
