"""What a pool chooses is what the search chooses, for every size, weight and scorer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.engine import Engine
from tests.value_models.evaluation.test_evaluate import folder, write  # noqa: F401
from value_models.evaluation.config import load_config
from value_models.evaluation.evaluate import Evaluation
from value_models.evaluation.pool import Pool, is_pooled
from value_models.evaluation.sampling import SampledAnswer, answer

SIZES = (2, 5)


def evaluation(folder: Path, **search: Any) -> Evaluation:  # noqa: F811
    searches = [{"method": "best_of", "successors": n, "tilt": False, **search} for n in SIZES]
    path = write(folder, arms={"arm": {"values": ["value"], "searches": searches}}, claims=[], shares=[0, 0.5, 1])
    return Evaluation(load_config(path / "e.yaml"), progress=False, say=lambda line: None)


def told(answers: Sequence[SampledAnswer]) -> list[Any]:
    return [(a.prompt, a.sample, a.text, a.finish, a.tokens, a.drawn) for a in answers]


def nats(answers: Sequence[SampledAnswer]) -> list[float]:
    return [x for a in answers for x in (a.steering_nats, a.truncation_nats)]


@pytest.mark.parametrize("scorer", ["values", "rewards"])
def test_a_pool_chooses_what_the_search_chooses(folder: Path, scorer: str) -> None:  # noqa: F811
    made = evaluation(folder, scorer=scorer)
    arm = made.arms["arm"]
    engine = Engine(made.policy, arm.values(arm.points[0], made.policy), made.config.engine)
    sampler = made.sampler(arm.points[0])
    prompts = sampler.encode()
    pool = Pool(engine, prompts, max(SIZES), 2, 6, 0)
    texts = set()
    for point in arm.points:
        steer = arm.guidance(point)
        assert is_pooled(steer, engine.info.objectives)
        alone = answer(engine, prompts, steer, 2, 6, 0, sampler.scorer(steer))
        pooled = pool.answer(steer, sampler.scorer(steer))
        assert told(pooled) == told(alone), point
        assert nats(pooled) == pytest.approx(nats(alone), abs=1e-5)
        texts.add(tuple(a.text for a in alone))
    assert len(texts) > len(SIZES), "weights matter"


def test_scores_that_depend_on_the_weights_are_not_pooled(folder: Path) -> None:  # noqa: F811
    """A conditioned value says something else of the same draws for each weight; rewards do not."""
    for scorer, pooled in (("values", False), ("rewards", True)):
        made = evaluation(folder, scorer=scorer)
        arm = made.arms["arm"]
        infos = Engine(made.policy, arm.values(arm.points[0], made.policy), made.config.engine).info.objectives
        conditioned = [replace(info, conditioned=True) for info in infos]
        assert is_pooled(arm.guidance(arm.points[0]), conditioned) is pooled


def test_what_the_search_refuses_a_pool_refuses(folder: Path) -> None:  # noqa: F811
    made = evaluation(folder, scorer="rewards")
    arm = made.arms["arm"]
    engine = Engine(made.policy, arm.values(arm.points[0], made.policy), made.config.engine)
    with pytest.raises(InvalidRequestError, match=r"no reward is loaded for short; loaded: none"):
        Pool(engine, made.sampler(arm.points[0]).encode(), 5, 2, 6, 0).answer(arm.guidance(arm.points[0]))


def test_points_and_arms_of_the_same_values_share_one_pool(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    drawn: Counter[str] = Counter()
    original = Pool._draw

    def counted(self: Pool, guidance: Any) -> None:
        drawn["pools"] += 1
        original(self, guidance)

    monkeypatch.setattr(Pool, "_draw", counted)
    best = {"method": "best_of", "tilt": False}
    arms = {
        "by-value": {"values": ["value"], "searches": [{**best, "successors": n} for n in SIZES]},
        "by-reward": {"values": ["value"], "searches": [{**best, "successors": 3, "scorer": "rewards"}]},
    }
    path = write(folder, arms=arms, claims=[])
    Evaluation(load_config(path / "e.yaml"), progress=False, say=lambda line: None).run()
    assert drawn == {"pools": 1}
    assert len(list((folder / "out" / "answers").rglob("*-best_of-*.jsonl"))) == 6
