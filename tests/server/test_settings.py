from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from mavis_core.api.errors import LoadError
from server.__main__ import serve
from server.settings import Settings, load_settings


def test_flags_over_environment_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAVIS_PORT", "9000")
    monkeypatch.setenv("MAVIS_API_KEY", "s3cret, other")
    monkeypatch.setenv("MAVIS_OBJECTIVE_WEIGHTS", "cheerful=1")
    settings = load_settings(port=9001, values="a,b", host=None)
    assert (settings.port, settings.host, settings.values) == (9001, "127.0.0.1", ("a", "b"))
    assert [key.get_secret_value() for key in settings.api_key] == ["s3cret", "other"]
    assert settings.objective_weights == {"cheerful": 1}
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_open_addresses_need_keys(host: str) -> None:
    with pytest.raises(LoadError, match="allow-unauthenticated"):
        load_settings(host=host)
    load_settings(host=host, allow_unauthenticated=True)
    load_settings(host=host, api_key="secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback_needs_none(host: str) -> None:
    load_settings(host=host)


def test_unknown_settings_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LoadError, match="prot"):
        load_settings(prot=1)
    monkeypatch.setenv("MAVIS_API_KEYS", "secret")
    with pytest.raises(LoadError, match=r"MAVIS_API_KEYS; did you mean MAVIS_API_KEY\?") as error:
        load_settings()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "wrong", [{"port": 70000}, {"dtype": "int8"}, {"objective_weights": "cheerful=x"}, {"api_key": ("",)}]
)
def test_wrong_values(wrong: dict[str, object]) -> None:
    with pytest.raises(LoadError, match=next(iter(wrong))):
        load_settings(**wrong)


WRONG = [
    ({"database": "mysql://u:s3cret@h/x"}, "database: .*must be sqlite or postgresql"),
    ({"database": "s3cret"}, "not a database URL"),
    ({"admin_api_key": "s3cret"}, "at least 16 characters"),
    ({"root_path": "s3cret"}, "begin with a slash"),
    ({"root_path": "/s3cret/"}, "begin with a slash"),
    ({"requests_per_minute": 0}, "requests_per_minute"),
    ({"allowed_origins": "["}, "allowed_origins"),
]


@pytest.mark.parametrize(("wrong", "says"), WRONG)
def test_wrong_ways_in(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(LoadError, match=says) as error:
        load_settings(**wrong)
    assert "s3cret" not in str(error.value)


def test_secrets_do_not_show() -> None:
    settings = load_settings(admin_api_key="a-long-s3cret-of-mine", database="postgresql://u:s3cret@h/x")
    assert "s3cret" not in repr(settings) + str(settings)


def test_the_default_database_is_state_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/some/state")
    assert load_settings().database.get_secret_value() == "sqlite:////some/state/mavis/mavis.db"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ann")
    assert load_settings().database.get_secret_value() == "sqlite:////home/ann/.local/state/mavis/mavis.db"


def test_every_setting_is_a_flag() -> None:
    assert set(inspect.signature(serve).parameters) == set(Settings.model_fields)


def test_every_setting_is_documented() -> None:
    page = Path("docs/settings.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `--([a-z-]+)` \| `(MAVIS_[A-Z_]+)` \|", page, re.MULTILINE)
    expected = [(name.replace("_", "-"), "MAVIS_" + name.upper()) for name in Settings.model_fields]
    assert sorted(named) == sorted(expected)


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("4,2", 4), ("", None), ("0", None), ("many", None)])
def test_openmps_variable_counts_where_no_threads_are_set(
    monkeypatch: pytest.MonkeyPatch, said: str, threads: int | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert load_settings().engine_config().threads == threads
    assert load_settings(threads=2).engine_config().threads == 2
