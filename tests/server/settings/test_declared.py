"""Every setting has one declaration, and whatever else knows of settings follows from it."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mavis_core.api.config import EngineConfig
from server.settings import load_settings
from server.settings.declared import SETTINGS, Setting
from server.settings.settings import ENGINE, Settings


def test_the_engine_gets_every_setting_of_its_own() -> None:
    own = {field.name for field in fields(EngineConfig)}
    assert own == {name for name, setting in SETTINGS.items() if setting.section == "Engine"}
    assert not own & Settings.model_fields.keys()
    assert list(SETTINGS) == [*(name for name in Settings.model_fields if name != "engine"), *EngineConfig.__slots__]
    found = load_settings(max_num_seqs="7", dtype="float16", enable_prefix_caching="off", kv_cache_tokens=64).engine
    assert found == EngineConfig(
        max_num_seqs=7,
        dtype="float16",
        enable_prefix_caching=False,
        kv_cache_tokens=64,
        seed=None,
        step_stretch=1.8,
        compile="auto",
    )


def test_a_server_does_not_repeat_itself_unless_told_to() -> None:
    assert load_settings().engine == ENGINE
    assert ENGINE.seed is load_settings(block_size=8).engine.seed is None
    assert load_settings(seed="5").engine.seed == 5
    both = Settings.model_validate({"engine": EngineConfig(block_size=8), "seed": "5"})
    assert both.engine == EngineConfig(block_size=8, seed=5)


@pytest.mark.parametrize(
    ("name", "takes", "default"),
    [
        ("port", "integer ≥ 0, ≤ 65535", "8000"),
        ("max_connections", "integer ≥ 1", ""),
        ("gpu_memory_utilization", "number > 0, ≤ 1", "0.85"),
        ("values_dir", "path", ""),
        ("api_key", "list", ""),
        ("allowed_methods", "list", "*"),
        ("admin_api_key", "text", ""),
        ("on_engine_death", "exit, restart, stay", "exit"),
        ("playground", "on or off", "on"),
        ("objective_weights", "name=number,...", ""),
        ("database", "text", ""),
    ],
)
def test_what_it_takes(name: str, takes: str, default: str) -> None:
    assert (SETTINGS[name].takes, SETTINGS[name].shown_default) == (takes, default)


def test_secrets_are_known() -> None:
    secret = {name for name, setting in SETTINGS.items() if setting.is_secret}
    assert secret >= {"api_key", "admin_api_key", "database"}
    assert not secret & {"api_key_file", "host", "values", "objective_weights"}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_help_is_a_sentence_of_its_own(setting: Setting) -> None:
    assert setting.help[0].isupper() and setting.help.endswith(".") and len(setting.help.split()) >= 8
    if setting.takes == "list":
        assert "comma-separated" in setting.help
