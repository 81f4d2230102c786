"""All that is asked of one engine: prompts, with and without words, and the answers of points that share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property

from mavis_core.api.errors import InvalidRequestError, RunError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.search.driver import check_search
from mavis_core.search.scorer import SequenceScorer
from mavis_core.text.instruction import Place
from value_models.evaluation.arms import Arm
from value_models.evaluation.config import EvaluationConfig
from value_models.evaluation.instructed import answer_instructed
from value_models.evaluation.points import BASE, Point
from value_models.evaluation.pool import Pool, is_pooled
from value_models.evaluation.prompt_rewards import PromptRewards
from value_models.evaluation.sampling import SampledAnswer, answer
from value_models.prompts import Prompt, place_of
from value_models.rewards.reward import Guarded


class PointSampler:
    """Args:
    engine: idle.
    prompts, rewards: of the evaluation.
    arms: name -> arm; several may share the engine.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[Prompt],
        rewards: Sequence[Guarded],
        config: EvaluationConfig,
        arms: Mapping[str, Arm],
    ) -> None:
        self._engine, self._prompts, self._rewards, self._config, self._arms = engine, prompts, rewards, config, arms
        self._same = config.samples, config.max_tokens, config.seed
        self.encode = cache(self._encode)

    def _encode(self, instruction: str | None = None) -> list[list[int]]:
        """Token ids of every prompt, told ``instruction`` where there is one.

        Raises:
            RunError: one does not fit, or cannot carry an instruction.
        """
        assert self._engine.tokenizer is not None
        asked = [prompt.told(instruction, self._place) if instruction else prompt for prompt in self._prompts]
        encoded = [prompt.encode(self._engine.tokenizer) for prompt in asked]
        most = self._engine.info.max_model_len - self._config.max_tokens - 1
        for number, ids in enumerate(encoded):
            if not 1 <= len(ids) <= most:
                words = f" with {instruction[:60]!r}" if instruction else ""
                told = f"prompt {number} ({asked[number].text[:60]!r}){words} has {len(ids)} tokens"
                raise RunError(f"{told}: 1 to {most} leave room for {self._config.max_tokens} more")
        return encoded

    @cached_property
    def _place(self) -> Place | None:
        assert self._engine.tokenizer is not None
        return place_of(self._engine.tokenizer)

    def check(self, points: Sequence[Point]) -> None:
        """Ask for every point, as sampling will after hours.

        Raises:
            RunError: a prompt does not fit, or the engine refuses what it is asked; naming the arm.
        """
        prompt = tuple(self.encode()[0])
        for point in points:
            if instruction := self._instruction(point):
                self.encode(instruction)
            steer, words = self._guidance(point), self._in_words(point)[0]
            limit = SamplingParams(max_tokens=self._config.max_tokens)
            asked = Request("check", prompt, limit, replace(steer, search=None), prompted=words)
            try:
                self._engine.add(asked)
                self._engine.abort_all()
                if steer.search:
                    check_search(replace(asked, guidance=steer), self._engine.info, self.scorer(steer))
            except InvalidRequestError as error:
                raise RunError(f"arms.{point.arm}: {error}") from error

    def answers(self, points: Sequence[Point]) -> Iterator[tuple[Point, list[SampledAnswer]]]:
        """One point after the other."""
        steers = [self._guidance(point) for point in points]
        pooled = [self._is_pooled(point, steer) for point, steer in zip(points, steers, strict=True)]
        sizes = [steer.search.successors for steer, own in zip(steers, pooled, strict=True) if own and steer.search]
        pool = Pool(self._engine, self.encode(), max(sizes, default=0), *self._same)
        told = cache(self._told)  # weights only choose what is said
        for point, steer, own in zip(points, steers, pooled, strict=True):
            if instruction := self._instruction(point):
                yield point, told(instruction)
            elif own:
                yield point, pool.answer(steer, self.scorer(steer))
            else:
                yield point, self._steered(point, steer)

    def _steered(self, point: Point, steer: Guidance) -> list[SampledAnswer]:
        scorer, words = self.scorer(steer), self._in_words(point)
        return answer(self._engine, self.encode(), steer, *self._same, scorer=scorer, prompted=words)

    def _told(self, instruction: str) -> list[SampledAnswer]:
        told, plain = self.encode(instruction), self.encode()
        return answer_instructed(self._engine, told, plain, self._config.top_k, *self._same)

    def _in_words(self, point: Point) -> list[tuple[PromptedObjective, ...]]:
        """The objectives in words that steer, per prompt."""
        told = {name: self.encode(words) for name, words in self._objectives(point).items()}
        numbers = range(len(self._prompts))
        return [tuple(PromptedObjective(name, tuple(ids[i])) for name, ids in told.items()) for i in numbers]

    def _is_pooled(self, point: Point, steer: Guidance) -> bool:
        return not self._objectives(point) and is_pooled(steer, self._engine.info.objectives)

    def _objectives(self, point: Point) -> dict[str, str]:
        return {} if point.arm == BASE else self._arms[point.arm].objectives

    def _instruction(self, point: Point) -> str | None:
        return None if point.arm == BASE else self._arms[point.arm].instruction(point)

    def _guidance(self, point: Point) -> Guidance:
        return Guidance(top_k=self._config.top_k) if point.arm == BASE else self._arms[point.arm].guidance(point)

    def scorer(self, guidance: Guidance) -> SequenceScorer | None:
        if guidance.search is None or guidance.search.scorer != "rewards":
            return None
        assert self._engine.tokenizer is not None
        return PromptRewards(self._rewards, self._prompts, self._engine.tokenizer)
