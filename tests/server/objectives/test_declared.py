"""What ``--objectives`` says: files, the shipped set, and what loaded values do to both."""

from __future__ import annotations

from pathlib import Path

import pytest

from mavis_core.api.errors import ConfigError
from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.prompted import KIND
from server.bounds.bounds_file import BoundsFile
from server.cli.steering_checks import SteeringChecks
from server.objectives.declared import Declared, Objectives
from server.protocol.objectives import MAX_INSTRUCTION
from server.settings import load_settings
from tests.server.fake_engine import TEMPLATE, FakeTokenizer

LOADED = ObjectiveInfo("cheerful", "from a head", "head", "my-head", 0.0, 1.0, 1.0, (-1, 1))


def write(folder: Path, text: str, name: str = "objectives.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_good_set_ships_for_every_model_but_the_one_that_ships() -> None:
    shipped = Declared.read(["auto"], shipped_model=False).shipped
    assert {"cheerful", "concise", "formal", "simple", "curious", "vivid", "cautious", "playful"} <= shipped.keys()
    for declaration in shipped.values():
        declaration.check_ranges()
        assert declaration.description
        assert len(declaration.instruction) <= MAX_INSTRUCTION, "a request could bring it too"
    assert not Declared.read(["auto"], shipped_model=True).shipped
    assert not Declared.read(["none"], shipped_model=False).shipped
    assert Declared.read(["shipped"], shipped_model=True).shipped == shipped


def test_a_file_declares_its_own(tmp_path: Path) -> None:
    file = write(tmp_path, "pirate:\n  instruction: ' Talk like a pirate. '\n  weight_range: [-1, 3]\n")
    declared = Declared.read([file], shipped_model=False)
    assert not declared.shipped
    info = declared.own["pirate"].info("pirate")
    assert (info.kind, info.recommended_beta, info.weight_range, info.additive) == (KIND, 1.0, (-1, 3), True)
    both = Declared.read(["shipped", file], shipped_model=False)
    assert {"pirate", "vivid"} <= Objectives(both).beside([]).keys()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pirate: Arr.", "pirate: "),
        ("pirate: {instruction: ' '}", "objective 'pirate': instruction: must say something"),
        ("pirate: {instruction: Arr., weight_range: [1, 3]}", "objective 'pirate': weight_range=[1, 3]: must go from"),
        ("pirate: {instruction: Arr., wieght_range: [-1, 3]}", "pirate.wieght_range: "),
        ("'a=b': {instruction: Arr.}", "a=b"),
        ("[1]", "the file: "),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(tmp_path: Path, text: str, problem: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        Declared.read([file], shipped_model=False)
    assert file in str(caught.value) and problem in str(caught.value)


def test_two_files_must_not_declare_the_same(tmp_path: Path) -> None:
    files = [write(tmp_path, "a: {instruction: x}", name) for name in ("1.yaml", "2.yaml")]
    with pytest.raises(ConfigError, match=r"2\.yaml: objective 'a' stands in another file"):
        Declared.read(files, shipped_model=False)


def test_a_loaded_value_hides_a_shipped_one_and_must_not_meet_the_operators(tmp_path: Path) -> None:
    shipped = Declared.read(["shipped"], shipped_model=False)
    shipped.check_names([LOADED])
    assert "cheerful" not in Objectives(shipped).beside([LOADED])
    assert "cheerful" in Objectives(shipped).beside([]), "until the value is unloaded"
    own = Declared.read([write(tmp_path, "cheerful: {instruction: Smile.}")], shipped_model=False)
    with pytest.raises(ConfigError, match="objective 'cheerful' is scored by the value 'my-head' already"):
        own.check_names([LOADED])
    with pytest.raises(ConfigError, match="no chat template that takes an instruction"):
        own.check_place(None)
    shipped.check_place(None)  # nothing that anybody asked for


@pytest.mark.parametrize(
    ("said", "problem"),
    [("nowhere.yaml", "must be auto, none, shipped or a YAML file"), ("auto,shipped", "'auto' stands alone")],
)
def test_the_setting_is_checked_at_the_start(said: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_settings(objectives=said)
    assert load_settings(objectives="shipped").objectives == ("shipped",)
    assert load_settings().objectives == ("auto",)


def test_a_server_starts_with_weights_for_what_is_declared_and_no_other() -> None:
    shipped = Declared.read(["shipped"], shipped_model=False)

    def start(weights: dict[str, float], template: str = TEMPLATE, declared: Declared = shipped) -> None:
        checks = SteeringChecks(weights, {}, None, declared, None, BoundsFile(), None)
        checks.of_objectives([LOADED])
        checks.of_template([LOADED], FakeTokenizer(template))

    start({"cheerful": 0.5, "vivid": 2.0})
    with pytest.raises(ConfigError, match="unknown objective 'pirate'"):
        start({"pirate": 1.0})
    with pytest.raises(ConfigError, match="cheerful=2: must be -1 to 1"):
        start({"cheerful": 2.0})
    with pytest.raises(ConfigError, match="unknown objective 'vivid'"):
        start({"vivid": 1.0}, "{% for m in messages %}x{% endfor %}")
    with pytest.raises(ConfigError, match="is scored by the value 'my-head'"):
        start({}, declared=Declared({"cheerful": shipped.shipped["vivid"]}, {}))
