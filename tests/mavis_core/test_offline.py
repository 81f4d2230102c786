from __future__ import annotations

from typing import Any

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import ContextLengthError
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from tests.models import assert_idle, byte_tokenizer
from tests.table import memoryless_policy


def letters_engine() -> Engine:
    """Draws 'a' or 'b' at even odds."""
    logits = [-1e4] * 257
    logits[ord("a")] = logits[ord("b")] = 0.0
    policy: Any = memoryless_policy(logits, 13, (256,), byte_tokenizer())
    return Engine(policy, [], EngineConfig(max_num_seqs=5, block_size=4))


def test_texts_and_ids_are_answered_in_order() -> None:
    sampling = [SamplingParams(seed=1, max_tokens=3), SamplingParams(seed=2, max_tokens=5, n=3)]
    first, second = generate(letters_engine(), ["hi", [104, 105]], sampling)
    assert [len(choice.token_ids) for choice in (*first, *second)] == [3, 5, 5, 5]
    assert [choice.index for choice in second] == [0, 1, 2]
    for choice in (*first, *second):
        assert choice.text == bytes(choice.token_ids).decode()
        assert set(choice.text) <= {"a", "b"}
        assert choice.finish_reason == "length"


def test_choices_run_beside_each_other_on_one_prefill(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many prompts wait: fairness is for requests of different people."""
    engine, filled = letters_engine(), list[int]()
    plan = engine.scheduler.schedule

    def watched() -> Any:
        found = plan()
        filled.extend(chunk.count for chunk in found.prefill)
        return found

    monkeypatch.setattr(engine.scheduler, "schedule", watched)
    generate(engine, [[i + 1, 2, 3] for i in range(6)], SamplingParams(n=5, max_tokens=2, seed=0))
    assert sum(filled) == 6 * 3


def test_progress_is_told_prompt_by_prompt() -> None:
    told: list[int] = []
    sampling = [SamplingParams(seed=1, max_tokens=length, n=2) for length in (2, 4, 6)]
    generate(letters_engine(), [[1], [2], [3]], sampling, progress=told.append)
    assert sum(told) == 3 and [number for number in told if number] == [1, 1, 1]


def test_one_bad_prompt_runs_nothing_and_leaves_nothing() -> None:
    engine = letters_engine()
    with pytest.raises(ContextLengthError):
        generate(engine, [[1], [1] * 99], SamplingParams(max_tokens=3, seed=0))
    assert_idle(engine)
    assert len(generate(engine, [[1]], SamplingParams(max_tokens=3, seed=0))[0][0].token_ids) == 3
