"""Best-of-N without a tilt, all points of it from one pool of answers.

Such draws are the base model's own and do not depend on the weights, so the points differ only in which answer they
choose. Draw i has the noise that successor i of a search would have, and the first N of 64 draws are the N of
best-of-N: what is chosen here is what ``guidance.search`` would choose, and all points cost what the largest does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo, Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.search.driver import check_search
from mavis_core.search.kl_bound import best_of_bound
from mavis_core.search.scorer import SequenceScorer, standardise, text_values, weighted
from value_models.evaluation.sampling import SampledAnswer, answer_of, reported_nll, sampling_params

AT_ONCE = 32  # answers whose draws are in memory with every token's report


def is_pooled(guidance: Guidance, objectives: Sequence[ObjectiveInfo]) -> bool:
    """Whether a point only chooses among draws of the base model, by scores that its weights merely add up: a value
    conditioned on them scores anew for each.
    """
    search = guidance.search
    if search is None or search.method != "best_of" or search.tilt:
        return False
    return search.scorer == "rewards" or not any(each.conditioned for each in objectives)


@dataclass(frozen=True, slots=True)
class Draw:
    """Attributes: answer: as if it were the one chosen among itself. values: objective -> V of the whole text."""

    answer: SampledAnswer
    values: dict[str, float]


class Pool:
    """The draws for every answer, made at the first point that asks.

    Args:
        engine: idle; serves the values that score.
        prompts: token ids.
        most: draws per answer; the largest N of the points.
        samples, max_tokens, seed: as ``sampling.answer`` takes them.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[Sequence[int]],
        most: int,
        samples: int,
        max_tokens: int,
        seed: int,
    ) -> None:
        self._engine, self._prompts, self._most = engine, prompts, most
        self._samples, self._max_tokens, self._seed = samples, max_tokens, seed
        self._draws: list[list[Draw]] = []
        self._rewards: list[list[dict[str, float]]] = []
        self._seconds = 0.0

    def answer(self, guidance: Guidance, scorer: SequenceScorer | None = None) -> list[SampledAnswer]:
        """The answers of one point, see ``sampling.answer``; of equally good draws the first.

        Raises:
            InvalidRequestError: what the search itself would refuse.
        """
        assert guidance.search is not None
        asked = Request("pool", tuple(self._prompts[0]), SamplingParams(max_tokens=self._max_tokens), guidance)
        check_search(asked, self._engine.info, scorer)
        if not self._draws:
            self._draw(guidance)
        n = guidance.search.successors
        if guidance.search.scorer != "rewards":
            return [self._chosen(draws[:n], [d.values for d in draws], guidance.weights) for draws in self._draws]
        if not self._rewards:
            assert scorer is not None, "checked"
            self._rewards = [self._score(scorer, draws) for draws in self._draws]
        found = zip(self._draws, self._rewards, strict=True)
        return [self._chosen(draws[:n], scores, guidance.weights) for draws, scores in found]

    def _draw(self, guidance: Guidance) -> None:
        """A budget of 0 nats scales the tilt to nothing, while values of every objective are still evaluated."""
        plain = replace(
            guidance,
            weights=dict.fromkeys(guidance.weights, 1.0),
            search=None,
            report=True,
            max_kl_per_token=0.0,
        )
        wanted = [(i, j) for i in range(len(self._prompts)) for j in range(self._samples)]
        began = time.perf_counter()
        for at in range(0, len(wanted), AT_ONCE):
            part = wanted[at : at + AT_ONCE]
            sampling = [sampling_params(f"{self._seed}/{i}/{j}", self._most, self._max_tokens, plain) for i, j in part]
            found = generate(self._engine, [self._prompts[i] for i, _ in part], sampling, plain)
            self._draws += [[self._reduced(i, j, c) for c in each] for (i, j), each in zip(part, found, strict=True)]
        self._seconds = (time.perf_counter() - began) / (len(wanted) * self._most)

    def _reduced(self, prompt: int, sample: int, choice: CompletionOutput) -> Draw:
        made = answer_of(prompt, sample, choice, reported_nll(choice), 0.0)
        return Draw(made, text_values(choice.reports, self._engine.info.objectives))

    def _score(self, scorer: SequenceScorer, draws: Sequence[Draw]) -> list[dict[str, float]]:
        """Rewards of one answer's draws, z-units."""
        assert self._engine.tokenizer is not None
        prompt = self._engine.tokenizer.decode(self._prompts[draws[0].answer.prompt], skip_special_tokens=True)
        rows = scorer.score([prompt] * len(draws), [draw.answer.text for draw in draws])
        return [standardise(scorer.names, row, self._engine.info.objectives) for row in rows]

    def _chosen(
        self, draws: Sequence[Draw], known: Sequence[Mapping[str, float]], weights: Mapping[str, float]
    ) -> SampledAnswer:
        """The best of ``draws`` by the first of ``known``."""
        n = len(draws)
        scores = [weighted(weights, each) for each in known[:n]]
        best = draws[scores.index(max(scores))].answer
        return replace(
            best,
            drawn=sum(draw.answer.tokens for draw in draws),
            steering_nats=best.steering_nats + best_of_bound(n),
            seconds=n * self._seconds,
        )
