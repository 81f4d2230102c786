"""The policy told what to be, in so many words: its answers, and how far the words move it.

Nothing tilts. The instructed policy draws as whoever writes a prompt has it draw, from its own k most likely tokens, so
that it may say what the base model would hardly. Its KL to the uninstructed policy is exact at every position of its
own answers: a sum over the vocabulary, not the log-ratio of the one token that was drawn. The same mean, less noise.

    KL       = sum_a p(a) (log p(a) - log ref(a))       p: instructed, over its k; ref: uninstructed, full vocabulary
    KL       = steering + truncation,  truncation = -log ref(C),  C the k most likely tokens of ref

That is the split of every arm: truncation is what k candidates cost each of them at least, the rest is steering. For a
tilt, which has the candidates C, steering comes out as the KL to ref renormalised over them.

An instruction has no strength and no weights in between: it is there or it is not. So all weights above 0 of both axes
are the same point, the policy told both; it is sampled once and counts for each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mavis_core.api.errors import RunError
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.values.protocol import ValueFunction
from value_models.evaluation.config import EvaluationConfig
from value_models.evaluation.points import BASE, Point, points_of
from value_models.evaluation.sampling import SampledAnswer, answer_of, sampling_params

STRENGTH = "told"


class InstructedArm:
    """The policy under the instructions of the axes whose weight is above 0; a weight below 0 cannot be told."""

    def __init__(self, name: str, config: EvaluationConfig) -> None:
        self._name, self._config = name, config
        self._instructions = config.arms[name].instructions
        if not self.points:
            raise RunError(f"arms.{name}: no share of {config.grid} has a weight above 0 and none below")

    @property
    def points(self) -> list[Point]:
        shares = [share for share in self._config.grid if self._can_be_told(share)]
        return points_of(self._name, shares, [STRENGTH])

    def _can_be_told(self, share: float) -> bool:
        weights = Point(self._name, share).weights(self._config.axes).values()
        return min(weights) >= 0 < max(weights)

    def check(self, policy: Policy) -> None:
        """Nothing but the prompts can be wrong, and they are encoded before anything is sampled."""

    def about(self) -> dict[str, Any]:
        return {"instructions": self._instructions}

    def about_point(self, point: Point) -> dict[str, Any]:
        return {}

    def served(self, point: Point) -> str:
        return f"{BASE} told {self._name}"

    def values(self, point: Point, policy: Policy) -> list[ValueFunction]:
        return []

    def guidance(self, point: Point) -> Guidance:
        return Guidance(top_k=self._config.top_k)

    @property
    def objectives(self) -> dict[str, str]:
        return {}

    def instruction(self, point: Point) -> str:
        weights = point.weights(self._config.axes)
        return " ".join(self._instructions[axis] for axis in self._config.axes if weights[axis] > 0)


@dataclass(frozen=True, slots=True)
class Price:
    """Sums over the tokens of one answer, nats; as the fields of ``SampledAnswer``."""

    steering_nats: float
    truncation_nats: float
    base_nll: float


def answer_instructed(
    engine: Engine,
    told: Sequence[Sequence[int]],
    plain: Sequence[Sequence[int]],
    top_k: int,
    samples: int,
    max_tokens: int,
    seed: int,
    progress: Callable[[int], object] | None = None,
) -> list[SampledAnswer]:
    """Sample every prompt ``samples`` times, see ``sampling.answer``.

    Args:
        told, plain: token ids of the prompts with the instruction and without.
        top_k: candidates, of the instructed policy where it draws, of the uninstructed one for its truncation.
        progress: told how many more prompts are answered.
    """
    engine.forget_prefixes()
    began = time.perf_counter()
    sampling = [sampling_params(f"{seed}/{i}", samples, max_tokens, Guidance(top_k=top_k)) for i in range(len(told))]
    found = generate(engine, told, sampling, progress=progress or False)
    seconds = (time.perf_counter() - began) / (len(told) * samples)
    answers = []
    for number, choices in enumerate(found):
        for sample, choice in enumerate(choices):
            paid = price(engine.policy, told[number], plain[number], choice.token_ids, top_k)
            made = answer_of(number, sample, choice, paid.base_nll, seconds)
            answers.append(replace(made, steering_nats=paid.steering_nats, truncation_nats=paid.truncation_nats))
    return answers


@torch.inference_mode()
def price(policy: Policy, told: Sequence[int], plain: Sequence[int], output: Sequence[int], top_k: int) -> Price:
    """What an answer ``output`` to ``told`` cost to draw in place of one to ``plain``, by two plain forwards."""
    own, ref = (_logprobs(policy, prompt, output) for prompt in (told, plain))
    p = own.topk(min(top_k, own.shape[1]), dim=1)
    logp = p.values - p.values.logsumexp(dim=1, keepdim=True)
    possible = logp > -torch.inf  # what is masked at the first token counts 0 log 0
    moved = torch.where(possible, logp.exp() * (logp - ref.gather(1, p.indices)), 0.0)
    kept = ref.topk(min(top_k, ref.shape[1]), dim=1).values.logsumexp(dim=1)
    drawn = ref.gather(1, torch.tensor(output, device=ref.device)[:, None])
    truncation = -float(kept.sum())
    return Price(float(moved.sum()) - truncation, truncation, -float(drawn.sum()))


def _logprobs(policy: Policy, prompt: Sequence[int], output: Sequence[int]) -> Tensor:
    """log pi at T = 1 where each of N tokens of ``output`` was drawn: (N, V) float32. No stop token is the first."""
    text = torch.tensor([*prompt, *output], device=policy.device)
    logits = policy.logits(policy.backbone.forward_plain(text)[len(prompt) - 1 : -1])
    logits[0, list(policy.stop_token_ids)] = -torch.inf
    return logits.log_softmax(dim=1)
