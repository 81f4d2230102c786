"""One round of a search: every unfinished hypothesis is continued by a request, and all requests run together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from mavis_core.api.errors import EngineUnavailableError
from mavis_core.api.messages import ChoiceDelta, Request, RequestOutput
from mavis_core.schedule.seeds import seed_of
from mavis_core.search.hypothesis import Hypothesis

Generate = Callable[[Request], AsyncGenerator[RequestOutput, None]]
T = TypeVar("T")


class Rounds:
    """The engine as a search sees it.

    Args:
        generate: of an ``EngineClient``.
        request: the one that is searched for; its sampling has a seed.
        most: tokens that the answer may have.

    Attributes:
        cached_tokens: of the prompt, read from the prefix cache by the first round; later rounds find what that left.
        queue_seconds: that the first round waited for a place.
    """

    def __init__(self, generate: Generate, request: Request, most: int) -> None:
        self._generate, self._request, self._most = generate, request, most
        self.count = 0
        self.samples = 0
        self.tokens = 0
        self.cached_tokens = 0
        self.queue_seconds = 0.0

    async def run(self, hypotheses: Sequence[Hypothesis], successors: int, length: int) -> list[list[Hypothesis]]:
        """For each hypothesis, which must not be finished, its successors of ``length`` tokens or up to their end."""
        requests = [self._resume(slot, h, successors, length) for slot, h in enumerate(hypotheses)]
        drawn = await all_of([self._draw(request) for request in requests])
        self.count += 1
        self.samples += successors * len(hypotheses)
        self.tokens += sum(len(part.token_ids) for parts in drawn for part in parts)
        return [
            [h.follow(self._open(h, part, length)) for part in parts]
            for h, parts in zip(hypotheses, drawn, strict=True)
        ]

    def _resume(self, slot: int, hypothesis: Hypothesis, successors: int, length: int) -> Request:
        sampling, guidance = self._request.sampling, self._request.guidance
        most = min(len(hypothesis.token_ids) + length, self._most)
        assert sampling.seed is not None
        return replace(
            self._request,
            id=f"{self._request.id}/{self.count}.{slot}",
            sampling=replace(
                sampling,
                n=successors,
                max_tokens=most,
                min_tokens=min(sampling.min_tokens, most),
                seed=slot_seed(sampling.seed, slot),
            ),
            guidance=replace(guidance, search=None),
            output_token_ids=hypothesis.token_ids,
            group=self._request.group or self._request.id,
        )

    def _open(self, before: Hypothesis, part: Hypothesis, length: int) -> Hypothesis:
        """``part``, marked as unfinished if only the round's length ended it."""
        whole = len(before.token_ids) + len(part.token_ids)
        if part.finish_reason == "length" and len(part.token_ids) == length and whole < self._most:
            return replace(part, finish_reason=None)
        return part

    async def _draw(self, request: Request) -> list[Hypothesis]:
        """All choices of one request."""
        deltas: list[list[ChoiceDelta]] = [[] for _ in range(request.sampling.n)]
        async with aclosing(self._generate(request)) as outputs:
            async for output in outputs:
                if self.count == 0:
                    self.cached_tokens, self.queue_seconds = output.cached_tokens, output.queue_seconds
                for delta in output.deltas:
                    deltas[delta.index].append(delta)
        if any(not mine or mine[-1].finish_reason not in ("stop", "length") for mine in deltas):
            raise EngineUnavailableError("the engine gave up this request")
        return [Hypothesis.of(mine) for mine in deltas]


def slot_seed(seed: int, slot: int) -> int:
    """The seed of a place in the beam, another for each. Rounds draw at later positions, so noise is never used twice.

    The first place keeps the request's seed: one beam with one successor is the plain answer.
    """
    return seed if slot == 0 else seed_of(f"{seed}/{slot}")


async def all_of(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order; at an error or a cancellation all others are cancelled, and have ended on return."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
