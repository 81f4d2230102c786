from __future__ import annotations

import pytest

from mavis_core.api.errors import ConfigError
from server.settings import Settings, load_settings
from server.settings.declared import SETTINGS
from server.stored import database


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
    with pytest.raises(ConfigError, match="allow-unauthenticated"):
        load_settings(host=host)
    load_settings(host=host, allow_unauthenticated=True)
    load_settings(host=host, api_key="secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback_needs_none(host: str) -> None:
    load_settings(host=host)


def test_unknown_settings_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^unknown setting prot$"):
        load_settings(prot=1)
    monkeypatch.setenv("MAVIS_API_KEYS", "secret")
    with pytest.raises(ConfigError, match=r"MAVIS_API_KEYS; did you mean MAVIS_API_KEY\?") as error:
        load_settings()
    assert "secret" not in str(error.value)


WRONG = [
    ("port", "70000", "--port='70000': must be less than or equal to 65535"),
    ("port", "x", "--port='x': must be a valid integer"),
    ("max_num_seqs", "0", "--max-num-seqs='0': must be greater than or equal to 1"),
    ("dtype", "int8", "--dtype='int8': must be 'auto', 'float32', 'bfloat16' or 'float16'"),
    ("objective_weights", "cheerful=x", "--objective-weights='cheerful=x': 'cheerful=x' is not name=number"),
    ("root_path", "mavis", "--root-path='mavis': must begin with a slash and not end with one, for example /mavis"),
    ("root_path", "/a/", "--root-path='/a/': must begin with a slash and not end with one, for example /mavis"),
    ("allowed_origins", "[", "--allowed-origins='[': begins like a JSON list and is none: unexpected end of data"),
    ("values_dir", "/absent", "--values-dir='/absent': must be a folder that exists"),
    ("playground", "maybe", "--playground='maybe': must be a valid boolean"),
    ("api_key", "[1]", "--api-key: must be a valid string"),
    ("api_key", '[""]', "--api-key: a key is empty"),
    ("admin_api_key", "s3cret", "--admin-api-key: must have at least 16 characters; 'mavis key' makes one"),
    ("database", "mysql://u:s3cret@h/x", "--database: mysql: must be sqlite or postgresql"),
    ("database", "s3cret", "--database: not a database URL"),
]


@pytest.mark.parametrize(("name", "text", "says"), WRONG)
def test_one_line_says_what_is_wrong_and_where(
    name: str, text: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as by_flag:
        load_settings(**{name: text})
    assert str(by_flag.value) == says
    variable = f"MAVIS_{name.upper()}"
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError) as by_variable:
        load_settings()
    flag = "--" + name.replace("_", "-")
    assert str(by_variable.value) == says.replace(flag, variable, 1)


def test_every_wrong_setting_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^--block-size='0': .*; --port='x': [^;\n]*$"):
        load_settings(port="x", block_size="0")


def test_settings_of_the_engine_that_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAVIS_MAX_NUM_SEQS", "7")
    with pytest.raises(ConfigError, match=r"^--max-num-batched-tokens=5: must be at least MAVIS_MAX_NUM_SEQS=7$"):
        load_settings(max_num_batched_tokens="5")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS.values():
        monkeypatch.setenv(setting.variable, "")
    assert load_settings() == Settings()


@pytest.mark.parametrize("text", ["a, b", '["a", "b"]'])
def test_lists_are_comma_separated_or_json(text: str) -> None:
    assert load_settings(values=text).values == ("a", "b")


@pytest.mark.parametrize(("text", "on"), [("true", True), ("1", True), ("off", False), ("0", False)])
def test_switches_in_variables(text: str, on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAVIS_PLAYGROUND", text)
    monkeypatch.setenv("MAVIS_ENABLE_PREFIX_CACHING", text)
    settings = load_settings()
    assert (settings.playground, settings.engine.enable_prefix_caching) == (on, on)
    assert load_settings(playground=not on).playground is not on


def test_postgresql_asks_for_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^--database: postgresql needs .*pip install 'mavis-server\[postgres\]'$"):
        load_settings(database="postgresql://u:s3cret@h/x")
    load_settings(database="sqlite://")


def test_secrets_do_not_show() -> None:
    settings = load_settings(admin_api_key="a-long-s3cret-of-mine", database="postgresql://u:s3cret@h/x")
    assert "s3cret" not in repr(settings) + str(settings)


def test_the_default_database_is_state_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/some/state")
    assert load_settings().database.get_secret_value() == "sqlite:////some/state/mavis/mavis.db"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ann")
    assert load_settings().database.get_secret_value() == "sqlite:////home/ann/.local/state/mavis/mavis.db"
