from __future__ import annotations

from pathlib import Path

import pytest

from mavis_core.api.errors import LoadError
from tests.models import tiny_model
from tests.value_models.kinds.test_tuned_models import change, config_of, policy
from value_models.folders import load_value
from value_models.kinds.policy import save_policies


def test_a_mix_of_policies_is_in_nats(tmp_path: Path) -> None:
    save_policies(tmp_path / "p", config_of(policy(), "e", kind="policy"), [tiny_model("llama", 31)])
    change(tmp_path / "p", lambda data: data["objectives"][0].update(reward_std=2.0))
    with pytest.raises(LoadError, match="of kind 'policy' are in nats: reward_mean 0 and reward_std 1"):
        load_value(tmp_path / "p", policy())
