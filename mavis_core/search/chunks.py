"""Chunk-level beam search (IVG, arXiv 2409.17819): draw K chunks per beam, score all, keep the best W.

With one beam and no end to the chunk it is best-of-K. Finished hypotheses stay among those that compete; a text that
two beams reach counts once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace

from mavis_core.api.search_params import DEFAULT_CHUNK_TOKENS, SearchParams
from mavis_core.search.hypothesis import Hypothesis
from mavis_core.search.rounds import Rounds

Score = Callable[[Sequence[Hypothesis]], Awaitable[Sequence[float]]]


async def chunk_search(
    rounds: Rounds, params: SearchParams, score: Score, most: int
) -> AsyncGenerator[list[Hypothesis], None]:
    """The surviving hypotheses after every round, best first; ends when all of them are finished."""
    length = most if params.method == "best_of" else params.chunk_tokens or DEFAULT_CHUNK_TOKENS
    alive = [Hypothesis()]
    successors = params.rows
    while going := [h for h in alive if not h.finished]:
        found = await rounds.run(going, successors, length)
        grown = list({h.token_ids: h for group in found for h in group}.values())
        scores = await score(grown)
        grown = [replace(h, score=s) for h, s in zip(grown, scores, strict=True)]
        pool = [h for h in alive if h.finished] + grown
        alive = sorted(pool, key=lambda h: -h.score)[: params.beams]
        successors = params.successors
        yield alive
