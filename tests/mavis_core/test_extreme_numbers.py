"""Numbers of a request at the ends of what JSON can write: float32 tensors must neither overflow nor divide by zero."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.search_params import SearchParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from tests.models import mixed_values, tiny_policy

TINY = [5e-324, 1e-300, 1e-45, 1e-39, 1.2e-38, 1e-30, 1e-6]
STEER: dict[str, Any] = {"weights": {"a": 1.0, "c": -0.7}, "beta": 0.8, "top_k": 7}
UNGUIDED, GUIDED = Guidance(), Guidance(**STEER)
PROMPT = [3, 5, 7]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny_policy("llama"), mixed_values("llama"), EngineConfig(block_size=3))


def answer(engine: Engine, guidance: Guidance, **sampling: Any) -> CompletionOutput:
    params = SamplingParams(max_tokens=5, seed=1, ignore_eos=True, logprobs=3, **sampling)
    ((found,),) = generate(engine, [PROMPT], params, guidance)
    return found


def assert_defined(found: CompletionOutput) -> None:
    assert len(found.token_ids) == 5
    for logprobs in found.logprobs:
        assert math.isfinite(logprobs.logprob) and math.isfinite(logprobs.drawn_logprob)
        assert all(math.isfinite(logprob) for _, logprob in logprobs.top)
    if found.guidance is not None:
        stats = found.guidance
        numbers = [stats.beta, stats.steering_nats, stats.truncation_nats, stats.sampled_nats, stats.topk_base_mass]
        assert all(map(math.isfinite, [*numbers, *stats.values.values(), *stats.value_spread.values()]))


@pytest.mark.parametrize("guidance", [UNGUIDED, GUIDED], ids=["unguided", "guided"])
@pytest.mark.parametrize("tiny", TINY)
def test_a_temperature_below_the_threshold_is_greedy(engine: Engine, tiny: float, guidance: Guidance) -> None:
    found = answer(engine, guidance, temperature=tiny)
    assert_defined(found)
    assert found == answer(engine, guidance, temperature=0)


def test_from_the_threshold_on_it_is_a_temperature(engine: Engine) -> None:
    for guidance in (UNGUIDED, GUIDED):
        assert_defined(answer(engine, guidance, temperature=1e-5))
    assert answer(engine, UNGUIDED, temperature=1e-5).token_ids == answer(engine, UNGUIDED, temperature=0).token_ids


@pytest.mark.parametrize("tiny", TINY)
def test_a_beam_search_at_such_a_temperature_is_one_at_0(engine: Engine, tiny: float) -> None:
    search = Guidance(**STEER, search=SearchParams("beam", 2, 3))
    assert answer(engine, search, temperature=tiny).token_ids == answer(engine, search, temperature=0).token_ids


@pytest.mark.parametrize("guidance", [UNGUIDED, GUIDED], ids=["unguided", "guided"])
@pytest.mark.parametrize("name", ["top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty"])
def test_every_other_number_of_sampling_may_be_tiny(engine: Engine, name: str, guidance: Guidance) -> None:
    for tiny in TINY:
        for temperature in (1.0, 1e-5):
            assert_defined(answer(engine, guidance, temperature=temperature, **{name: tiny}))


def test_biases_and_the_others_may_be_tiny_or_minus_zero(engine: Engine) -> None:
    plain = answer(engine, UNGUIDED)
    for tiny in (5e-324, 1e-39, -1e-300, -0.0):
        assert answer(engine, UNGUIDED, logit_bias={4: tiny}) == plain
    nothing = {"min_p": -0.0, "presence_penalty": -0.0, "frequency_penalty": -0.0}
    assert answer(engine, UNGUIDED, **nothing) == plain
    assert answer(engine, UNGUIDED, temperature=-0.0) == answer(engine, UNGUIDED, temperature=0)


@pytest.mark.parametrize("tiny", [5e-324, 1e-300, -1e-45, 1e-39, -0.0])
def test_what_is_0_in_float32_does_not_steer(engine: Engine, tiny: float) -> None:
    """Weights 0 are the base model: no value is evaluated and no candidate cut off."""
    assert not Guidance({"a": tiny}).active
    assert not Guidance({"a": 1.0}, beta=abs(tiny)).active
    assert answer(engine, Guidance({"a": tiny}, top_k=1)) == answer(engine, UNGUIDED)


def test_weights_that_are_not_0_have_their_recommended_beta(engine: Engine) -> None:
    found = answer(engine, Guidance({"a": 1.2e-38, "c": -1.2e-38}))
    assert_defined(found)
    assert found.guidance is not None
    assert found.guidance.beta == pytest.approx(1.0)


@pytest.mark.parametrize("normalise", ["none", "minmax"])
@pytest.mark.parametrize("tiny", [1.2e-38, 1e-30, 1e-300])
def test_guidance_may_be_tiny(engine: Engine, tiny: float, normalise: Any) -> None:
    extreme = Guidance({"a": tiny, "b": 16.0}, beta=64.0, max_kl_per_token=tiny, normalise=normalise)
    assert_defined(answer(engine, extreme))
    assert_defined(answer(engine, Guidance({"a": 16.0}, beta=1.2e-38, normalise=normalise)))
    found = answer(engine, Guidance({"a": -16.0}, beta=64.0, max_kl_per_token=tiny, normalise=normalise))
    assert found.guidance is not None
    assert found.guidance.steering_nats == pytest.approx(0, abs=1e-3)
