"""Every mistake in an evaluation's file is named before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mavis_core.api.errors import RunError
from value_models.evaluation.config import load_config

GOOD: dict[str, Any] = {
    "folder": "out",
    "prompts": "p.jsonl",
    "rewards": {"cheerful": None, "concise": None},
    "axes": ["cheerful", "concise"],
    "reference_point": [-2, -2],
    "arms": {"heads": {"values": ["value"], "betas": [1, 2.5], "guidance": {"normalise": "minmax"}}},
}


def write(folder: Path, /, **changes: Any) -> Path:
    path = folder / "e.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def test_paths_are_those_beside_the_file_and_hub_ids_stay(tmp_path: Path) -> None:
    (tmp_path / "value").mkdir()
    config = load_config(write(tmp_path, policy="owner/name"))
    assert config.arms["heads"].values == [str(tmp_path / "value")]
    assert config.arms["heads"].guidance.normalise == "minmax"
    assert (config.folder, config.policy) == (str(tmp_path / "out"), "owner/name")
    assert config.grid == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "value").mkdir(parents=True)
    arms = {"heads": {"values": ["~/value", "shipped:lm"], "betas": [1]}, "rl": {"policies": "~/rl"}}
    config = load_config(write(tmp_path, folder="~/out", arms=arms))
    assert config.folder == str(tmp_path / "home" / "out")
    assert config.arms["heads"].values == [str(tmp_path / "home" / "value"), "shipped:lm"]
    assert config.arms["rl"].policies == str(tmp_path / "home" / "rl")


def arm(**settings: Any) -> dict[str, Any]:
    return {"arms": {"heads": {"values": ["value"], "betas": [1], **settings}}}


def told(**instructions: str) -> dict[str, Any]:
    return {"arms": {"told": {"instructions": instructions}}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"budget": [1]}, "budget: unknown key; did you mean 'budgets'"),
        ({"axes": ["cheerful", "kind"]}, "axes: 'kind' is not among the rewards"),
        ({"axes": ["cheerful", "cheerful"]}, "must be one or two rewards"),
        ({"reference_point": [1]}, "must have 2 numbers"),
        ({"arms": {}}, "arms: at least one"),
        ({"arms": {"base": {"values": ["v"], "betas": [1]}}}, "none of them named 'base'"),
        ({"arms": {"a/b": {"values": ["v"], "betas": [1]}}}, "letters, digits"),
        (arm(betas=[0, 1]), "different numbers above 0"),
        (arm(betas=[1, 1]), "different numbers above 0"),
        (arm(values=[]), "needs values or objectives with betas or searches, or policies, or instructions"),
        (arm(betas=[]), "needs values or objectives with betas or searches, or policies"),
        (arm(instructions={"cheerful": "Smile."}), "instructions: are all that such an arm has"),
        (arm(objectives={"cheerful": ""}), "objectives.cheerful: must say something"),
        (arm(objectives={"curious": "Ask."}), "arms.heads.objectives: 'curious' is not one of the axes"),
        (arm(policies="rl", values=[], betas=[], objectives={"cheerful": "Smile."}), "policies: have checkpoints"),
        (told(cheerful="Smile.", concise=" "), "instructions.concise: must say something"),
        (told(cheerful="Smile."), "one for each of the axes ['cheerful', 'concise'], got cheerful"),
        (arm(searches=[{"method": "best_of"}]), "needs values or objectives with betas or searches, or policies"),
        (arm(policies="rl"), "policies: have checkpoints"),
        (arm(averaged=True), "steps and averaged: belong to policies"),
        (arm(betas=[], searches=[{"method": "beam"}]), "what method 'beam' costs in KL is not known"),
        (arm(betas=[], searches=[{"method": "best_of"}] * 2), "must differ from each other"),
        (arm(betas=[], searches=[{"method": "best_of", "successors": 65}]), "successors=65: must be 1 to 64"),
        (arm(guidance={"top_k": 5}), "guidance.top_k: is the same for all arms"),
        (arm(guidance={"beta": 2.0}), "guidance.beta: is the same"),
        (arm(guidance={"weights": {"cheerful": 1}}), "guidance.weights: is the same for all arms; set by the eval"),
        (arm(guidance={"weights": 1}), "arms.heads.guidance.weights: must be a mapping from names, got 1"),
        (arm(), "arms.heads.values[0]='value': no such folder"),
        (arm(guidance={"normalise": "max"}), "arms.heads.guidance.normalise='max': must be one of"),
        ({"shares": [0.5, 0.2]}, "must rise"),
        ({"shares": [0.5, 1.2]}, "must be 0 to 1"),
        ({"budgets": [0]}, "budgets=[0.0]: must be above 0"),
        ({"regret_to": "lm"}, "regret_to: there is no arm 'lm'; arms: base, heads"),
        ({"claims": [{"better": "heads", "than": "base", "nats": 3}]}, "claims[0].nats=3: must be one of the budgets"),
        ({"claims": [{"better": "lm", "than": "base", "nats": 2}]}, "claims[0]: there is no arm 'lm'"),
        ({"samples": 0}, "samples=0: must be at least 1"),
        ({"top_k": 0}, "top_k=0: must be 1 to 256"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RunError) as found:
        load_config(write(tmp_path, **changes))
    assert told in str(found.value)
    assert "e.yaml" in str(found.value)
