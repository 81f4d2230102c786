"""The engine that computes nothing gives whole answers, as its loop and a server expect them of any engine."""

from __future__ import annotations

from benchmarks.paced_engine import OBJECTIVES, TEXT, PacedEngine
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request, RequestOutput
from mavis_core.api.sampling_params import SamplingParams
from value_models.loading import SHIPPED_POLICY


def test_rows_take_their_tokens_together_and_leave_at_their_limit() -> None:
    engine = PacedEngine(str(SHIPPED_POLICY), 2, 0.0, lambda stage, fraction: None)
    for name, weights, limit in (("steered", dict.fromkeys(OBJECTIVES, 0.5), 20), ("plain", {}, 12)):
        assert not engine.has_work
        engine.add(Request(name, (6, 7), SamplingParams(max_tokens=limit, seed=1), Guidance(weights)))
    outputs: dict[str, list[RequestOutput]] = {}
    while engine.has_work:
        for output in engine.step():
            outputs.setdefault(output.request_id, []).append(output)
    assert {name: len(mine) for name, mine in outputs.items()} == {"steered": 20, "plain": 12}
    for name, mine in outputs.items():
        text = "".join(delta.text for output in mine for delta in output.deltas)
        assert len(text) > 10 and TEXT.startswith(text.strip())
        assert [output.finished for output in mine] == [False] * (len(mine) - 1) + [True]
        stats = mine[-1].deltas[-1].guidance
        assert (stats is None) == (name == "plain")
        assert stats is None or (stats.tokens, set(stats.values)) == (20, set(OBJECTIVES))
