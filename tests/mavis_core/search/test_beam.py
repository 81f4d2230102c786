from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.search_params import SearchParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from tests.models import assert_idle, mixed_values, objective, tiny_policy
from tests.table import TablePolicy, TableValue, number

TOKENS, HORIZON, START, END = 4, 3, 2, 0
BASE, BETA = TOKENS + 1, 1.5
GENERATOR = torch.Generator().manual_seed(36)
LOGITS = torch.randn(BASE ** (HORIZON + 1), TOKENS, generator=GENERATOR)
VALUES = torch.randn(BASE ** (HORIZON + 2), 1, generator=GENERATOR)


def logprob(text: tuple[int, ...]) -> float:
    """log p of a text under the tilted policy."""
    total = 0.0
    for i, token in enumerate(text):
        before = (START, *text[:i])
        tilted = LOGITS[number(before, BASE)].double().clone()
        for a in range(TOKENS):
            tilted[a] += BETA * float(VALUES[number((*before, a), BASE), 0])
        total += float(tilted.log_softmax(0)[token])
    return total


def table_engine() -> Engine:
    policy: Any = TablePolicy(LOGITS, HORIZON + 1, (END,))
    value: Any = TableValue([objective("a")], VALUES, TOKENS)
    return Engine(policy, [value], EngineConfig(block_size=2))


def complete() -> list[tuple[int, ...]]:
    texts = {
        text[: text.index(END) + 1] if END in text else text
        for text in itertools.product(range(TOKENS), repeat=HORIZON)
    }
    return sorted(texts)


def test_a_beam_as_wide_as_the_tree_finds_the_likeliest_text() -> None:
    """Greedy decoding does not, or the test would show nothing."""
    steer: dict[str, Any] = {"weights": {"a": 1.0}, "beta": BETA, "top_k": TOKENS, "allow_empty": True}
    sampling = SamplingParams(max_tokens=HORIZON, temperature=1.0)
    best = max(complete(), key=logprob)
    engine = table_engine()
    ((found,),) = generate(engine, [[START]], sampling, Guidance(**steer, search=SearchParams("beam", 16, 4)))
    assert tuple(found.token_ids) == best
    assert found.guidance is not None and found.guidance.search is not None
    assert found.guidance.search.score == pytest.approx(logprob(best), abs=1e-4)
    assert found.guidance.search.kl_bound_nats is None
    assert found.finish_reason == ("stop" if best[-1] == END else "length")
    assert_idle(engine)
    ((greedy,),) = generate(engine, [[START]], SamplingParams(max_tokens=HORIZON, temperature=0), Guidance(**steer))
    assert tuple(greedy.token_ids) != best


def test_a_beam_of_one_is_greedy() -> None:
    engine = Engine(tiny_policy("llama"), mixed_values("llama"), EngineConfig(block_size=3))
    steer: dict[str, Any] = {"weights": {"a": 1.0, "c": -0.7}, "beta": 0.8, "top_k": 7}
    ((greedy,),) = generate(engine, [[3, 5, 7]], SamplingParams(max_tokens=9, temperature=0), Guidance(**steer))
    params = SearchParams("beam", 1, 3)
    ((found,),) = generate(
        engine, [[3, 5, 7]], SamplingParams(max_tokens=9, temperature=0), Guidance(**steer, search=params)
    )
    assert found.token_ids == greedy.token_ids
    assert found.guidance is not None and greedy.guidance is not None
    assert found.guidance.steering_nats == pytest.approx(greedy.guidance.steering_nats, abs=1e-3)


def test_ranks_beyond_the_candidates_are_nobodys() -> None:
    """Two candidates and five successors: two texts go on, and none that has no probability."""
    engine = table_engine()
    steer = Guidance({"a": 1.0}, beta=BETA, top_k=2, allow_empty=True, search=SearchParams("beam", 12, 5))
    ((found,),) = generate(engine, [[START]], SamplingParams(max_tokens=HORIZON), steer)
    assert found.guidance is not None and found.guidance.search is not None
    assert math.isfinite(found.guidance.search.score)
    assert_idle(engine)
