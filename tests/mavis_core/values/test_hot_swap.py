"""Values come and go while rows run: nobody's text changes, and what is refused leaves the engine as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError, UnknownObjectiveError, UnknownValueError, ValueConflictError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model import capacity
from mavis_core.values.protocol import ValueFunction
from tests.models import CONTEXT, assert_idle, collect, head_value, lm_value, objective, request, run, tiny_policy
from value_models.kinds.registry import stacked

POLICY = tiny_policy("llama")
LONG = SamplingParams(max_tokens=12, seed=3, ignore_eos=True)


class Loader:
    """Heads are stacked, as in a served engine."""

    def load(self, source: str) -> list[ValueFunction]:
        raise NotImplementedError

    def stack(self, values: Sequence[ValueFunction]) -> list[ValueFunction]:
        return stacked(values)


def engine(*values: ValueFunction, **config: Any) -> Engine:
    return Engine(POLICY, values, EngineConfig(**{"block_size": 5, "max_num_seqs": 7, **config}), Loader())


def guided(name: str, prompt: Sequence[int], n: int = 1, **weights: float) -> Request:
    sampling = SamplingParams(max_tokens=12, seed=3, ignore_eos=True, n=n)
    return request(name, prompt, sampling, Guidance(weights, beta=1.5, report=True))


def names(target: Engine) -> list[str]:
    return [info.name for info in target.info.objectives]


def alone(one: Request, *values: ValueFunction) -> dict[int, list[int]]:
    target = engine(*values)
    target.add(one)
    return run(target)[one.id]


def test_rows_in_flight_do_not_notice() -> None:
    """Columns move under guided rows, decoding, waiting or preempted, by heads and an LM; a head and an LM join."""
    wanted = [
        guided("heads", [5, 6, 7], b=2.0, a=-1.0),
        guided("lm", [9, 8, 7, 6, 5, 4], n=3, c=2.0, b=1.0),
        request("plain", [3, 3, 3], LONG),
        guided("waits", [11, 12], n=4, b=1.0, d=0.5),
    ]
    values: list[ValueFunction] = [
        head_value(POLICY, "b", seed=2),
        lm_value("llama", "c", "d"),
        head_value(POLICY, "a", seed=1),
    ]
    expected = {one.id: alone(one, *values) for one in wanted}
    target = engine(*values, kv_cache_tokens=130)
    found: dict[str, dict[int, list[int]]] = {}
    for one in wanted:
        target.add(one)
        collect(target, found)
    target.load_values([head_value(POLICY, "A first", seed=4), lm_value("llama", "e", seed=9)])
    collect(target, found)
    target.unload_value("head-A first")
    target.add(guided("new", [1, 2, 3, 4], e=1.0))
    while target.has_work:
        collect(target, found)
    new = found.pop("new")
    assert found == expected
    assert new == alone(guided("new", [1, 2, 3, 4], e=1.0), lm_value("llama", "e", seed=9))
    assert_idle(target)


def test_reports_follow_their_objectives() -> None:
    """Totals and per-token values keep their names when columns change under them."""
    one = guided("r", [5, 6, 7], b=2.0, z=-1.0)
    heads = [head_value(POLICY, "z", seed=1), head_value(POLICY, "b", seed=2)]
    deltas = []
    for change in (False, True):
        target = engine(*heads)
        target.add(one)
        steps = [target.step() for _ in range(4)]
        if change:
            target.load_values([head_value(POLICY, "c", "d", seed=3)])
        while target.has_work:
            steps.append(target.step())
        deltas.append([outputs[0].deltas[0] for outputs in steps])
    for plain, changed in zip(*deltas, strict=True):
        assert changed.token_ids == plain.token_ids
        assert changed.reports[0].values == pytest.approx(plain.reports[0].values, abs=1e-5)
    assert changed.guidance is not None and plain.guidance is not None
    assert changed.guidance.values == pytest.approx(plain.guidance.values, abs=1e-5)


def test_a_loaded_value_is_known_and_an_unloaded_one_is_not() -> None:
    target = engine(head_value(POLICY, "a"))
    target.load_values([lm_value("llama", "c", "d")])
    assert names(target) == ["a", "c", "d"]
    target.add(guided("r", [5], d=1.0))
    run(target)
    target.unload_value("lm-c-d")
    assert names(target) == ["a"]
    assert len(target.pools) == 1
    with pytest.raises(UnknownObjectiveError, match="known: a"):
        target.add(guided("r", [5], d=1.0))
    target.unload_value("head-a")
    target.add(request("r", [5]))
    assert run(target)


@pytest.mark.parametrize("waiting", [True, False])
@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_a_value_in_use_stays(waiting: bool, weight: float) -> None:
    """By a row in the batch or one that waits, also where a row only watches the objective."""
    target = engine(head_value(POLICY, "a"), head_value(POLICY, "b"))
    one = guided("r", [5, 6], a=weight, b=1.0)
    target.add(one)
    if not waiting:
        target.step()
    with pytest.raises(ValueConflictError, match=r"'head-a' is in use by 1 request"):
        target.unload_value("head-a")
    assert names(target) == ["a", "b"]
    target.abort("r")
    target.unload_value("head-a")
    assert names(target) == ["b"]


def test_what_another_value_left_in_the_cache_is_not_read() -> None:
    """A value of the same name and shape, with other weights, takes the place of an unloaded one."""
    prompt = list(range(20, 42))
    target = engine(lm_value("llama", "c", seed=5))
    target.add(guided("r", prompt, c=2.0))
    run(target)
    target.unload_value("lm-c")
    other = lm_value("llama", "c", seed=6)
    target.load_values([other])
    target.add(guided("r", prompt, c=2.0))
    assert run(target)["r"] == alone(guided("r", prompt, c=2.0), other)


def test_of_several_values_the_missing_ones_are_loaded() -> None:
    values = [head_value(POLICY, name, seed=seed) for seed, name in enumerate("abc")]
    target = engine(*values)
    one = guided("r", [5, 6, 7], b=2.0)
    expected = alone(one, *values)
    target.unload_value("head-b")
    kept = target.loaded[0]
    again = [head_value(POLICY, name, seed=seed) for seed, name in enumerate("abc")]
    target.load_values(again)
    assert sorted(names(target)) == ["a", "b", "c"]
    assert target.loaded[0] is kept
    target.add(one)
    assert run(target)["r"] == expected
    with pytest.raises(ValueConflictError, match="a value named 'head-a' is loaded already"):
        target.load_values(again)
    target.unload_value("head-b")
    imposter = head_value(POLICY, "x")
    imposter.spec = replace(imposter.spec, name="head-a")
    with pytest.raises(ValueConflictError, match="a value named 'head-a' is loaded already"):
        target.load_values([imposter, again[1]])


def test_what_does_not_fit_is_refused_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    target = engine(head_value(POLICY, "a"), lm_value("llama", "c"))
    target.add(guided("r", [5, 6], a=1.0, c=1.0))
    target.step()
    before = (target.info, target.values, target.loaded)

    def refused(error: type[Exception], message: str, *values: ValueFunction) -> None:
        with pytest.raises(error, match=message):
            target.load_values(values)
        assert (target.info, target.values, target.loaded) == before

    refused(ValueConflictError, "a value named 'head-a' is loaded already", head_value(POLICY, "a"))
    refused(ValueConflictError, "head-b-a: objective 'a' is scored by 'v' already", head_value(POLICY, "b", "a"))
    refused(LoadError, "objective 'b' is scored by two values", head_value(POLICY, "b"), lm_value("llama", "b"))
    short = lm_value("llama", "x")
    short.spec = type(short.spec)("short", (objective("x"),), short.spec.caches, CONTEXT - 1)
    refused(LoadError, f"short: reads at most {CONTEXT - 1} tokens, and this engine serves texts of {CONTEXT}", short)
    broken = lm_value("llama", "x")
    monkeypatch.setattr(broken, "bind", lambda *_: 1 / 0)
    refused(ZeroDivisionError, "zero", head_value(POLICY, "b"), broken)
    monkeypatch.setattr(capacity, "CPU_KV_BYTES", sum(pool.data.nbytes for pool in target.pools) + 1000)
    refused(LoadError, r"the KV cache of \d+ tokens needs \d+ MiB more, 0 MiB are left", lm_value("llama", "x"))
    with pytest.raises(UnknownValueError, match="no value named 'b' is loaded; loaded: head-a, lm-c"):
        target.unload_value("b")
    assert run(target)
    assert_idle(target)
