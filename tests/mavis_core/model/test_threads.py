from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import ConfigError
from mavis_core.model import threads
from mavis_core.model.threads import set_threads


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_small_model_has_one_and_a_large_one_keeps_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    model = nn.Linear(3, 5)
    monkeypatch.setattr(threads, "SMALL", 20)  # it has 20 weights
    assert set_threads(None, model) == 2
    monkeypatch.setattr(threads, "SMALL", 21)
    assert set_threads(None, model) == 1
    assert set_threads(2, model) == torch.get_num_threads() == 2


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("4,2", 4), ("", 1), ("0", 1), ("many", 1)])
def test_openmps_variable_counts_where_no_threads_are_set(
    monkeypatch: pytest.MonkeyPatch, said: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert set_threads(None, nn.Linear(3, 5)) == threads
    assert set_threads(2, nn.Linear(3, 5)) == 2


def test_there_is_at_least_one() -> None:
    with pytest.raises(ConfigError, match="threads=0"):
        EngineConfig(threads=0)
