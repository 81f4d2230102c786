"""Search on models whose distributions are known: the chosen texts have exactly the distribution they should."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.search_params import SearchParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.search.kl_bound import best_of_bound, chunk_bound
from tests.chi_square import p_value
from tests.models import assert_idle, mixed_values, objective, tiny_policy
from tests.table import TokenValue, memoryless_policy

LOGITS = [0.3, -0.4, 0.9, 0.1, -1.2]
V = [0.5, 2.0, -1.0, 1.0, 3.0]


def table_engine(logits: list[float], values: list[float]) -> Engine:
    policy: Any = memoryless_policy(logits, 8)
    value: Any = TokenValue([objective("a")], torch.tensor(values)[:, None])
    return Engine(policy, [value], EngineConfig(max_num_seqs=256, block_size=2))


def searched(engine: Engine, params: SearchParams, count: int, length: int, **guidance: Any) -> list[CompletionOutput]:
    samplings = [SamplingParams(max_tokens=length, seed=seed) for seed in range(count)]
    steer = Guidance({"a": 1.0}, allow_empty=True, search=params, **guidance)
    answers = [choice for (choice,) in generate(engine, [[1]] * count, samplings, steer)]
    assert_idle(engine)
    return answers


def divergence(p: dict[Any, float], q: dict[Any, float]) -> float:
    return sum(x * math.log(x / q[text]) for text, x in p.items() if x > 0)


@pytest.mark.parametrize("tilt", [False, True])
def test_best_of_k_has_its_distribution(tilt: bool) -> None:
    """P(chosen = a) = P(V <= V_a)^K - P(V < V_a)^K, draws from the base model or from the tilted one."""
    k, beta = 3, 0.4
    base = torch.tensor(LOGITS).double().softmax(0).tolist()
    mass = [p * math.exp(beta * v * tilt) for p, v in zip(base, V, strict=True)]
    drawn = {(a,): m / sum(mass) for a, m in enumerate(mass)}
    expected = {
        (a,): sum(p for (b,), p in drawn.items() if V[b] <= V[a]) ** k
        - sum(p for (b,), p in drawn.items() if V[b] < V[a]) ** k
        for a in range(len(V))
    }
    params = SearchParams("best_of", successors=k, tilt=tilt)
    answers = searched(table_engine(LOGITS, V), params, 700, 1, beta=beta)
    assert p_value([tuple(answer.token_ids) for answer in answers], expected) > 1e-3
    assert p_value([tuple(answer.token_ids) for answer in answers], drawn) < 1e-6
    assert divergence(expected, drawn) <= best_of_bound(k)
    for answer in answers:
        assert answer.guidance is not None and answer.guidance.search is not None
        assert answer.guidance.search.score == pytest.approx(V[answer.token_ids[0]])
        assert answer.guidance.search.kl_bound_nats == pytest.approx(best_of_bound(k))
        assert (answer.guidance.search.rounds, answer.guidance.search.samples, answer.guidance.search.tokens) == (
            1,
            k,
            k,
        )
        assert (answer.guidance.steering_nats > 1e-4) == tilt, "without the tilt only choosing costs KL"


def chunk_distribution(p: list[float], values: list[float], beams: int, successors: int) -> dict[Any, float]:
    """Two rounds of one token, every outcome of every draw enumerated. Ties keep the order of the draws."""
    found: dict[Any, float] = defaultdict(float)
    tokens = range(len(p))
    for first in itertools.product(tokens, repeat=beams * successors):
        alive = sorted(dict.fromkeys((a,) for a in first), key=lambda text: -values[text[-1]])[:beams]
        for second in itertools.product(tokens, repeat=len(alive) * successors):
            grown = dict.fromkeys((*alive[i // successors], a) for i, a in enumerate(second))
            best = sorted(grown, key=lambda text: -values[text[-1]])[0]
            found[best] += math.prod(p[a] for a in first) * math.prod(p[a] for a in second)
    return found


@pytest.mark.parametrize(("beams", "successors"), [(1, 3), (2, 2)])
def test_two_rounds_have_the_distribution_of_the_algorithm(beams: int, successors: int) -> None:
    logits, values = [0.6, -0.1, -0.5], [0.0, 1.0, 2.0]
    p = torch.tensor(logits).double().softmax(0).tolist()
    expected = chunk_distribution(p, values, beams, successors)
    base = {(a, b): p[a] * p[b] for a in range(3) for b in range(3)}
    assert divergence(expected, base) <= chunk_bound(beams, successors, 2)
    params = SearchParams("chunk", beams, successors, chunk_tokens=1, tilt=False)
    answers = searched(table_engine(logits, values), params, 700, 2, beta=1.0)
    assert p_value([tuple(answer.token_ids) for answer in answers], dict(expected)) > 1e-3
    assert p_value([tuple(answer.token_ids) for answer in answers], base) < 1e-6
    assert {answer.guidance.search.rounds for answer in answers if answer.guidance and answer.guidance.search} == {2}
    assert answers[0].guidance is not None and answers[0].guidance.search is not None
    assert answers[0].guidance.search.kl_bound_nats == pytest.approx(chunk_bound(beams, successors, 2))


GUIDANCE: dict[str, Any] = {"weights": {"a": 1.0, "c": -0.7}, "beta": 0.8, "top_k": 7}


def tiny_engine(**config: Any) -> Engine:
    return Engine(tiny_policy("llama"), mixed_values("llama"), EngineConfig(**({"block_size": 3} | config)))


@pytest.mark.parametrize("length", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("settings", [{}, {"min_tokens": 9}, {"frequency_penalty": 1.0, "temperature": 0.6}])
def test_one_beam_with_one_successor_is_the_plain_answer(length: int, settings: dict[str, Any]) -> None:
    """To the token, whatever the chunks: their seams do not show, in the text or in what it cost."""
    engine = tiny_engine()
    sampling = SamplingParams(max_tokens=11, seed=9, logprobs=2, **settings)
    ((plain,),) = generate(engine, [[3, 5, 7]], sampling, Guidance(**GUIDANCE, report=True))
    params = SearchParams("chunk", 1, 1, length)
    ((found,),) = generate(engine, [[3, 5, 7]], sampling, Guidance(**GUIDANCE, report=True, search=params))
    assert found.token_ids == plain.token_ids
    assert found.finish_reason == plain.finish_reason
    assert [r.token_id for r in found.reports] == [r.token_id for r in plain.reports]
    assert [p.token_id for p in found.logprobs] == found.token_ids
    assert found.guidance is not None and plain.guidance is not None
    assert found.guidance.tokens == plain.guidance.tokens
    assert found.guidance.steering_nats == pytest.approx(plain.guidance.steering_nats, abs=1e-3)
    assert found.guidance.values == pytest.approx(plain.guidance.values, abs=1e-3)
    assert found.guidance.value_spread == pytest.approx(plain.guidance.value_spread, abs=1e-3)
    assert found.guidance is not None and found.guidance.search is not None
    assert (found.guidance.search.tokens, found.guidance.search.kl_bound_nats) == (len(found.token_ids), 0)


def test_each_chunk_is_the_best_of_its_round() -> None:
    """By the weighted values of its last token, drawn as the plain choices are."""
    engine = tiny_engine()
    sampling = SamplingParams(max_tokens=6, seed=2, ignore_eos=True)
    params = SearchParams("chunk", 1, 5, 3)
    ((found,),) = generate(engine, [[3, 5]], sampling, Guidance(**GUIDANCE, search=params))
    draws = SamplingParams(n=5, max_tokens=3, seed=2, ignore_eos=True)
    (choices,) = generate(engine, [[3, 5]], draws, Guidance(**GUIDANCE, report=True))

    def score(choice: CompletionOutput) -> float:
        last = choice.reports[-1].values
        return last["a"] - 0.7 * last["c"]

    assert found.token_ids[:3] == max(choices, key=score).token_ids
    assert found.token_ids[:3] != choices[0].token_ids, "another than the first, or the test shows nothing"
    assert found.reports == [], "nobody asked for them"


def test_a_search_does_not_depend_on_what_else_runs() -> None:
    params = [SearchParams("chunk", 2, 3, 2), SearchParams("best_of", successors=4), SearchParams("beam", 3, 4)]
    samplings = [SamplingParams(max_tokens=7, seed=i) for i in range(3)]
    guidances = [Guidance(**GUIDANCE, search=p) for p in params]
    prompts = [[3, 5, 7], [11], [13, 17]]
    together = generate(tiny_engine(max_num_seqs=5), prompts, samplings, guidances)
    for i in range(3):
        ((alone,),) = generate(tiny_engine(), prompts[i : i + 1], samplings[i], guidances[i])
        assert together[i][0].token_ids == alone.token_ids
