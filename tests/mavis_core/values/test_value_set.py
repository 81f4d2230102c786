from __future__ import annotations

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError, RequestFailedError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from mavis_core.schedule.row_fault import NOT_FINITE
from mavis_core.values.protocol import ValueFunction
from mavis_core.values.value_set import ValueSet
from tests.models import head_value, lm_value, mixed_values, objective, tiny_policy
from tests.table import TokenValue, memoryless_policy


def test_two_values_of_one_name_collide() -> None:
    policy = tiny_policy("llama")
    with pytest.raises(LoadError, match="objective 'b' is scored by two values, head-a-b and head-b; load one of them"):
        ValueSet([head_value(policy, "a", "b"), head_value(policy, "b")])


def test_columns_follow_the_loading_order() -> None:
    values = ValueSet(mixed_values("llama"))
    assert [o.name for o in values.objectives] == ["a", "b", "c", "d", "e"]
    assert len(values.caches) == 2


def test_the_order_of_values_does_not_show() -> None:
    policy, prompts = tiny_policy("llama"), [[3, 5, 7], [8, 13]]
    guidance = Guidance({"a": 2.0, "c": -2.0, "d": 1.0}, beta=1.0, top_k=7)
    answers = []
    for reverse in (False, True):
        values: list[ValueFunction] = [head_value(policy, "a"), lm_value("llama", "c", "d")]
        engine = Engine(policy, values[::-1] if reverse else values, EngineConfig(block_size=4))
        answers.append(generate(engine, prompts, SamplingParams(seed=5, max_tokens=9), guidance))
    for (one,), (other,) in zip(*answers, strict=True):
        assert one.token_ids == other.token_ids
        assert one.guidance is not None
        assert other.guidance is not None
        assert one.guidance.values == pytest.approx(other.guidance.values, abs=1e-5)


def test_a_value_that_nobody_names_is_not_evaluated() -> None:
    policy = tiny_policy("llama")
    lm = lm_value("llama", "c")
    engine = Engine(policy, [head_value(policy, "a"), lm], EngineConfig(block_size=4))

    def refuse(*args: object) -> torch.Tensor:
        raise AssertionError("the LM ran")

    lm.score = lm.extend = lm.commit = refuse  # type: ignore[method-assign,assignment]
    (answer,) = generate(engine, [[3, 5]], SamplingParams(seed=0, max_tokens=5), Guidance({"a": 1.0}))
    assert answer[0].token_ids
    with pytest.raises(AssertionError, match="the LM ran"):
        generate(engine, [[3, 5]], SamplingParams(seed=0, max_tokens=5), Guidance({"c": 1.0}))


def test_a_value_that_is_not_a_number_fails_those_who_name_it_alone() -> None:
    policy = memoryless_policy([0.3, -0.2, 0.5, 0.1, 0.0])
    table = torch.tensor([[torch.nan, 1.0], [torch.inf, -1.0], [0.0, 0.5], [-torch.inf, 0.0], [2.0, 0.0]])
    engine = Engine(policy, [TokenValue([objective("bad"), objective("good")], table)], EngineConfig(block_size=4))  # type: ignore[arg-type]
    clean = Engine(
        policy,  # type: ignore[arg-type]
        [TokenValue([objective("bad"), objective("good")], table.nan_to_num(0.0, 0.0, 0.0))],
        EngineConfig(block_size=4),
    )
    params = SamplingParams(seed=3, max_tokens=9)
    ((wanted,),) = generate(clean, [[1]], params, Guidance({"good": 2.0}))
    engine.add(Request("good", (1,), params, Guidance({"good": 2.0})))
    engine.add(Request("bad", (1,), params, Guidance({"bad": 1.0})))
    engine.add(Request("reports it", (1,), params, Guidance({"good": 2.0, "bad": 0.0})))
    outputs = [output for _ in range(9) for output in engine.step()]
    assert {o.request_id: o.error for o in outputs if o.error} == {"bad": NOT_FINITE, "reports it": NOT_FINITE}
    good = [delta for output in outputs if output.request_id == "good" for delta in output.deltas]
    assert [token for delta in good for token in delta.token_ids] == wanted.token_ids
    assert good[-1].guidance == wanted.guidance
    with pytest.raises(RequestFailedError, match="not finite"):
        generate(engine, [[1]], params, Guidance({"bad": 1.0}))
