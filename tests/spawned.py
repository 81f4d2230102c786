"""What tests run in a process of its own, free of torch so that it starts at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import LoadError
from mavis_core.api.messages import ObjectiveInfo

if TYPE_CHECKING:
    from mavis_core.engine import Engine


def refuse(report: Callable[[str, float], None]) -> Any:
    report("reading", 0.5)
    raise LoadError("value.json: kind='x': must be y")


def hang(report: Callable[[str, float], None]) -> Any:
    report("hanging", 0.1)
    time.sleep(600)


def slow_engine(folder: str, config: EngineConfig, report: Callable[[str, float], None]) -> Any:
    """An engine whose answers last long enough to be interrupted."""
    from value_models.loading import build_engine

    engine: Any = build_engine(folder, [], config, report)
    step = engine.step

    def slowly() -> object:
        time.sleep(0.02)
        return step()

    engine.step = slowly
    return engine


def letters_engine(tokenizer: str, config: EngineConfig, report: Callable[[str, float], None]) -> Engine:
    """An engine whose answers are letters, whatever came before, until the stop token; with values for them.

    They are "cheerful" and "concise", of one value, and under ``load_value`` one of the source's own name, unless that
    is "unfit". Each step takes as long as one of a small model, so that answers can be interrupted.
    """
    import torch
    from transformers import AutoTokenizer

    from mavis_core.engine import Engine
    from tests.table import TokenValue, memoryless_policy

    class Loader:
        def load(self, source: str) -> list[Any]:
            name = source.rpartition("/")[2]
            if name == "unfit":
                raise LoadError("unfit: trained for another policy")
            return [value(name, [name])]

        def stack(self, values: Any) -> Any:
            return values

    class SlowEngine(Engine):
        def step(self) -> Any:
            time.sleep(0.001)
            return super().step()

    def value(name: str, objectives: list[str]) -> Any:
        table = torch.linspace(-1, 1, 257)[:, None].expand(-1, len(objectives)).contiguous()
        infos = [ObjectiveInfo(each, f"how {each}", "test", name, 0.0, 1.0, 1.5, (-4, 4)) for each in objectives]
        return TokenValue(infos, table, name)

    logits = [-30.0] * 257
    logits[97:123] = [0.1 * (i % 5) for i in range(26)]
    logits[256] = 1.0
    policy: Any = memoryless_policy(logits, 2000, (256,), AutoTokenizer.from_pretrained(tokenizer))
    return SlowEngine(policy, [value("both", ["cheerful", "concise"])], config, Loader())
