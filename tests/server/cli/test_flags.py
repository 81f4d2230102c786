from __future__ import annotations

from typing import Annotated, Any

import typer

from server.cli.flags import command_with_flags
from server.settings import load_settings
from server.settings.declared import SETTINGS

seen: dict[str, Any] = {}


def function(flags: dict[str, Any], own: Annotated[str | None, typer.Option(help="Not a setting.")] = None) -> None:
    """What it does."""
    seen.clear()
    seen.update(flags, own=own)


def run(*arguments: str) -> dict[str, Any]:
    command_with_flags(function, None).main(list(arguments), standalone_mode=False)
    return seen


def test_every_setting_is_a_flag_and_switches_can_be_negated() -> None:
    made = command_with_flags(function, None)
    options = {option for each in made.params for option in (*each.opts, *each.secondary_opts)}
    flags = {setting.flag for setting in SETTINGS.values()}
    negations = {f"--no-{setting.flag[2:]}" for setting in SETTINGS.values() if setting.is_switch}
    assert options - {"--own"} == flags | negations
    assert {"--no-playground", "--no-enable-prefix-caching"} <= options
    assert (made.name, made.help) == ("function", "What it does.")


def test_only_what_was_given_is_passed_on() -> None:
    assert run() == {"own": None}
    given = run("--port", "9001", "--no-playground", "--engine-process", "--values=a,b", "--own", "o")
    assert given == {"port": "9001", "playground": False, "engine_process": True, "values": "a,b", "own": "o"}
    del given["own"]
    settings = load_settings(**given)
    assert (settings.port, settings.playground, settings.engine_process) == (9001, False, True)
    assert settings.values == ("a", "b")


def test_of_a_flag_given_twice_the_last_counts() -> None:
    assert run("--port", "1", "--port", "2", "--playground", "--no-playground")["port"] == "2"
    assert seen["playground"] is False


def test_a_command_may_take_some() -> None:
    made = command_with_flags(function, ("model", "values"))
    assert [option for each in made.params for option in each.opts] == ["--model", "--values", "--own"]
