"""Who goes on, on scripted successors: no engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mavis_core.api.messages import TokenReport
from mavis_core.api.search_params import SearchParams
from mavis_core.search.beam import beam_search
from mavis_core.search.chunks import chunk_search
from mavis_core.search.hypothesis import Hypothesis

END = 0


class Scripted:
    """Round i gives each hypothesis the i-th list of tokens; END ends it. A token's log p is minus itself."""

    def __init__(self, *rounds: Sequence[int]) -> None:
        self.rounds = list(rounds)
        self.asked: list[tuple[list[tuple[int, ...]], int, int]] = []

    async def run(self, hypotheses: Sequence[Hypothesis], successors: int, length: int) -> list[list[Hypothesis]]:
        self.asked.append(([h.token_ids for h in hypotheses], successors, length))
        tokens = self.rounds.pop(0)
        return [[h.follow(self._part(token)) for token in tokens] for h in hypotheses]

    def _part(self, token: int) -> Hypothesis:
        logprob = -math.inf if token > 90 else -float(token)
        reports = (TokenReport(token, logprob, -1.0, 0.0, 0.0, {}),)
        return Hypothesis((token,), reports=reports, finish_reason="stop" if token == END else None)


async def chunks(script: Scripted, beams: int, scores: dict[int, float]) -> list[list[tuple[int, ...]]]:
    async def score(hypotheses: Sequence[Hypothesis]) -> list[float]:
        return [scores[h.token_ids[-1]] for h in hypotheses]

    rounds: Any = script
    params = SearchParams("chunk", beams, 3, 1)
    return [[h.token_ids for h in alive] async for alive in chunk_search(rounds, params, score, 9)]


async def test_equal_texts_take_one_place() -> None:
    script = Scripted([5, 5, 3], [END])
    found = await chunks(script, 2, {5: 2.0, 3: 1.0, END: 0.0})
    assert found[0] == [(5,), (3,)]


async def test_a_finished_text_stays_and_may_win() -> None:
    script = Scripted([END, 4], [END])
    found = await chunks(script, 2, {END: 1.0, 4: 3.0})
    assert found == [[(4,), (END,)], [(END,), (4, END)]]
    assert script.asked == [([()], 6, 1), ([(4,)], 3, 1)], "the first round fills every place; finished ones rest"


async def beams(script: Scripted, width: int) -> list[list[tuple[int, ...]]]:
    rounds: Any = script
    return [[h.token_ids for h in alive] async for alive in beam_search(rounds, SearchParams("beam", width, 3))]


async def test_a_beam_ends_when_its_best_text_does() -> None:
    """The others could go on for ever, but not overtake it."""
    assert await beams(Scripted([1, 2], [END, 3], [9]), 2) == [[(1,), (2,)], [(1, END), (2, END)]]
    assert await beams(Scripted([END, 2], [9]), 2) == [[(END,), (2,)]]


async def test_what_has_no_probability_or_was_there_before_does_not_go_on() -> None:
    assert await beams(Scripted([2, 2, 99], [END]), 3) == [[(2,)], [(2, END)]]
