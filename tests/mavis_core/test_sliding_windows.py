"""Values whose models have sliding windows, caps and sinks: the engine equals the slow loop on texts beyond them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.reference import reference_generate
from mavis_core.values.protocol import ValueFunction
from tests.architectures import WINDOW, special_model, special_policy
from tests.models import HIDDEN, VOCAB, assert_idle, objective, q_lm_parts
from value_models.kinds.implicit import ImplicitValue
from value_models.kinds.lm import LmValue
from value_models.kinds.q_lm import QLmValue

PROMPTS = [[3 + (5 * i) % (VOCAB - 3) for i in range(2 * WINDOW + 3)], [7, 9]]
GUIDANCE = Guidance({"e": 1.0, "f": -0.7}, beta=0.8, top_k=7, report=True)


def lm(architecture: str) -> LmValue:
    torch.manual_seed(4)
    objectives = [objective("e"), objective("f")]
    return LmValue("lm", objectives, special_model(architecture, 5), torch.nn.Linear(HIDDEN, 2))


def q_lm() -> QLmValue:
    parts = q_lm_parts(special_model("gemma2", 5), 2, 4)
    return QLmValue("q_lm", [objective("e"), objective("f")], *parts)


def pair() -> ImplicitValue:
    """Two windowed models over another without windows: they share one step, and its spans."""
    models = [Policy(special_model(name, 6), None, name) for name in ("mistral", "gemma2", "granite")]
    return ImplicitValue("pair", [objective("e"), objective("f")], models[:2], models[2], special_policy("gemma3"))


@pytest.mark.parametrize("made", ["gemma2", "mistral", "gpt_oss", "pair", "q_lm"])
def test_the_engine_equals_the_slow_loop(made: str) -> None:
    policy = special_policy("gemma3")
    others: dict[str, Callable[[], ValueFunction]] = {"pair": pair, "q_lm": q_lm}
    value = others[made]() if made in others else lm(made)
    engine = Engine(policy, [value], EngineConfig(block_size=3, max_num_seqs=4, max_num_batched_tokens=13))
    samplings = [SamplingParams(seed=i, max_tokens=WINDOW + 2, ignore_eos=True) for i in range(2)]
    answers = generate(engine, PROMPTS, samplings, GUIDANCE)
    for prompt, sampling, (answer,) in zip(PROMPTS, samplings, answers, strict=True):
        expected = reference_generate(policy, [value], prompt, sampling, GUIDANCE, 0.8)
        assert answer.token_ids == expected.tokens
        assert answer.guidance is not None
        assert answer.guidance.steering_nats == pytest.approx(sum(expected.steering), abs=2e-4)
    assert_idle(engine)
