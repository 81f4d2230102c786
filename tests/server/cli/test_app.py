from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server import __main__
from server.cli.app import app
from server.version import package_version


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"mavis {package_version()}\n")


def test_without_a_command_there_is_help() -> None:
    result = CliRunner().invoke(app, [], env={"COLUMNS": "120"})
    assert result.exit_code == 2
    for command in ("serve", "chat", "key", "fit", "measure", "evaluate"):
        assert f" {command} " in result.output


def test_help_shows_defaults_and_what_is_taken() -> None:
    result = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for text in ("<integer ≥ 0, ≤ 65535>", "Default: 8000.", "<exit, restart, stay>", "--no-playground", "Engine"):
        assert text in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serve", "--port", "x"], "--port='x': must be a valid integer"),
        (["serve", "--host", "0.0.0.0"], "--host=0.0.0.0 is reachable from other machines"),
        (["serve", "--chat-template", "/absent"], "--chat-template=/absent: cannot be read"),
        (["serve", "--search-rewards", "kind"], "search_rewards: reward 'kind': must be one of"),
        (["chat", "--values", '["'], "--values='[\"': begins like a JSON list"),
        (
            ["measure", "run.yaml", "--values", "v", "--out", "/absent/x.json"],
            "--out /absent/x.json: there is no folder",
        ),
        (["fit", "/absent/run.yaml"], "/absent/run.yaml"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert says in line


def test_chatting_with_a_server_needs_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be those of the server that runs beside."""
    monkeypatch.setenv("MAVIS_HOST", "0.0.0.0")
    assert "reachable" in CliRunner().invoke(app, ["chat"]).stderr
    result = CliRunner().invoke(app, ["chat", "--url", "http://127.0.0.1:1/v1"])
    assert "reachable" not in result.output


def test_training_does_not_read_the_settings_of_the_server() -> None:
    code = "import sys, server.cli.app; sys.exit(any(name.startswith('server.settings') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_entry_point(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'mavis = "server.__main__:main"' in Path("pyproject.toml").read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["mavis", "--version"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert (ended.value.code, capsys.readouterr().out) == (0, f"mavis {package_version()}\n")
