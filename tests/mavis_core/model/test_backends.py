"""An engine computes all attention by the backend that it was told to take, the policy's and the values' alike."""

from __future__ import annotations

import sys
from collections import Counter
from types import ModuleType
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import ConfigError, LoadError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.backends import attention_backend, sdpa
from tests.models import lm_value, run, tiny_policy

CPU = torch.device("cpu")


def other(used: Counter[str], scale: float = 1.0) -> ModuleType:
    """A backend as somebody might add it: counts what it is asked for; its queries are scaled by ``scale``."""

    class Step:
        def __init__(self, step: Any) -> None:
            self._step = step
            self.slots = getattr(step, "slots", None)

        def attend(self, layer: int, query: torch.Tensor, *rest: Any) -> Any:
            return self._step.attend(layer, query * scale, *rest)

        def keep(self, chosen: torch.Tensor) -> None:
            used["keep"] += 1
            self._step.keep(chosen)

    def counted(name: str) -> Any:
        def made(*args: Any) -> Step:
            used[name] += 1
            return Step(getattr(sdpa, name)(*args))

        return made

    module = ModuleType("mavis_core.model.backends.other")
    for name in ("decode", "prefill", "siblings"):
        setattr(module, name, counted(name))
    return module


def tokens(backend: str) -> dict[str, dict[int, list[int]]]:
    config = EngineConfig(max_model_len=40, max_num_batched_tokens=8, max_num_seqs=3, attention_backend=backend)
    engine = Engine(tiny_policy("llama"), [lm_value("llama", "a")], config)
    sampling = SamplingParams(max_tokens=5, seed=3, ignore_eos=True)
    engine.add(Request("long", tuple(range(1, 12)), sampling, Guidance({"a": 1.5})))
    engine.add(Request("short", (7, 5, 3), sampling, Guidance()))
    return run(engine)


def test_another_backend_serves_policy_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    used: Counter[str] = Counter()
    monkeypatch.setitem(sys.modules, "mavis_core.model.backends.other", other(used))
    assert tokens("other") == tokens("sdpa")
    assert {name for name in used if used[name] >= 4} == {"decode", "prefill", "siblings", "keep"}


def test_a_backend_that_computes_something_else_is_found_by_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mavis_core.model.backends.other", other(Counter(), scale=0.5))
    with pytest.raises(LoadError, match="paged decoding differs"):
        tokens("other")


@pytest.mark.parametrize("name", ["flush", "sdpa.more", "", "."])
def test_an_unknown_backend_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"attention_backend='{name}': must be one of auto, sdpa, triton"):
        attention_backend(name, CPU)


def test_a_backend_whose_library_is_missing_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named 'flashy', for {name}", name="flashy")

    monkeypatch.setattr("mavis_core.model.backends.import_module", missing)
    with pytest.raises(ConfigError, match="attention_backend='quick': needs flashy, which is not installed"):
        tokens("quick")


def test_auto_is_triton_on_cuda_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mavis_core.model.backends.triton", other(Counter()))
    for installed in (None, object()):
        monkeypatch.setattr("mavis_core.model.backends.find_spec", lambda name, found=installed: found)
        assert attention_backend("auto", CPU) is sdpa
        found = attention_backend("auto", torch.device("cuda:1"))
        assert found is (sys.modules["mavis_core.model.backends.triton"] if installed else sdpa)
