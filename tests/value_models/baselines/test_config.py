"""Every mistake in the file of ``mavis baseline`` is named before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mavis_core.api.errors import RunError
from value_models.baselines.config import load_config

GOOD: dict[str, Any] = {
    "folder": "rl",
    "prompts": "p.jsonl",
    "rewards": {"cheerful": None, "concise": None},
    "constants": "run/labels",
    "policies": {"cheerful": {"cheerful": 1}, "mix50": {"cheerful": 0.5, "concise": 0.5}},
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "rl.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def test_paths_are_those_beside_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, policy="owner/name"))
    assert (config.folder, config.constants) == (str(tmp_path / "rl"), str(tmp_path / "run" / "labels"))
    assert (config.policy, config.policies["cheerful"]) == ("owner/name", {"cheerful": 1.0})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"policy_names": []}, "policy_names: unknown key"),
        ({"policies": {}}, "policies: must name at least one"),
        ({"policies": {"mod": {"cheerful": 1}}}, "policies.mod: a name has"),
        ({"policies": {"a/b": {"cheerful": 1}}}, "policies.a/b: a name has"),
        ({"policies": {"a": {"kind": 1}}}, "policies.a.kind: is not among the rewards cheerful, concise"),
        ({"policies": {"a": {"cheerful": 17}}}, "policies.a.cheerful=17.0: must be -16 to 16"),
        ({"policies": {"a": {"cheerful": 0}}}, "policies.a: must weight at least one reward"),
        ({"train": {"samples": 1}}, "train.samples=1: must be at least 2"),
        ({"train": {"batch": 10, "samples": 4}}, "train.batch=10: must be a multiple of samples=4"),
        ({"train": {"steps": 10, "every": 4}}, "train.steps=10: must be a multiple of every=4"),
        ({"train": {"rows": 5}}, "train.rows=5: must divide batch=64"),
        ({"train": {"learning_rate": 0}}, "train.learning_rate=0.0: must be above 0"),
        ({"train": {"kl": -0.1}}, "train.kl=-0.1: must be at least 0"),
        ({"top_k": 300}, "top_k=300: must be 1 to 256"),
        ({"max_tokens": 1}, "max_tokens=1: must be at least 2"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RunError) as found:
        load_config(write(tmp_path, **changes))
    assert told in str(found.value) and "rl.yaml" in str(found.value)
