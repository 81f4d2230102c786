from __future__ import annotations

import math
from types import SimpleNamespace

import torch

from mavis_core.model.logit_scaling import LogitScaling


def test_factor_then_cap() -> None:
    raw = torch.tensor([[3.0, -1.0]])
    assert LogitScaling.of(SimpleNamespace())(raw) is raw
    assert LogitScaling.of(SimpleNamespace(logit_scale=0.5))(raw).tolist() == [[1.5, -0.5]]
    found = LogitScaling.of(SimpleNamespace(logits_scaling=2.0, final_logit_softcapping=4.0))(raw)
    torch.testing.assert_close(found, torch.tensor([[4 * math.tanh(1.5 / 4), 4 * math.tanh(-0.5 / 4)]]))
