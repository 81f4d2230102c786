"""Beam search over tilted tokens (MAVIS v1): the likeliest texts under the tilted distribution, log p summed.

Nothing is drawn: choice i of each beam's request takes the i-th likeliest token (``SamplingParams.ranked``). Scores are
not divided by length, so texts compare by their probability, and since that only falls as a text goes on, the search
ends as soon as its best text does.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from mavis_core.api.search_params import SearchParams
from mavis_core.search.hypothesis import Hypothesis
from mavis_core.search.rounds import Rounds


async def beam_search(rounds: Rounds, params: SearchParams) -> AsyncGenerator[list[Hypothesis], None]:
    """The ``beams`` likeliest hypotheses after every token, best first; ends when the best is finished."""
    alive = [Hypothesis()]
    while not alive[0].finished:
        groups = await rounds.run([h for h in alive if not h.finished], params.successors, 1)
        pool = [h for h in alive if h.finished] + [h for group in groups for h in _likely(group)]
        alive = sorted(pool, key=lambda h: -h.score)[: params.beams]
        yield alive


def _likely(successors: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Scored, without ranks beyond the candidates there are (they repeat the last one or have no probability)."""
    scored = {h.token_ids: replace(h, score=sum(report.logprob for report in h.reports)) for h in successors}
    return [h for h in scored.values() if h.score > -math.inf]
