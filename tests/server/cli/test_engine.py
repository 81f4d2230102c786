"""What can be known before a model is loaded is known before."""

from __future__ import annotations

from pathlib import Path

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import ConfigError
from server.bounds.bounds_file import BoundsFile
from server.cli.engine import load_engine
from server.cli.steering_checks import SteeringChecks
from server.objectives.declared import Declared
from server.stored.presets import read_presets
from value_models import loading


@pytest.mark.parametrize(
    ("weights", "preset", "says"),
    [
        ({"kind": 1.0}, "cheerful", "^--objective-weights: unknown objective 'kind'; known: cheerful, concise"),
        ({"cheerful": 99.0}, "cheerful", r"^--objective-weights: .*cheerful=99: must be -?\d+ to \d+$"),
        ({}, "kind", r"presets\.yaml: preset 'warm': .*unknown objective 'kind'"),
    ],
)
def test_weights_that_no_value_serves(
    weights: dict[str, float], preset: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load_policy", None)
    path = tmp_path / "presets.yaml"
    path.write_text(f"warm: {{objective_weights: {{{preset}: 1}}}}")
    checks = SteeringChecks(weights, read_presets(path), path, Declared({}, {}), None, BoundsFile(), None)
    with pytest.raises(ConfigError, match=says):
        load_engine(None, [], checks, EngineConfig(), lambda stage, done: None)
