"""Every command in a shell block of the documentation exists, with the options it is shown with."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from server.cli.app import app
from tests.docs.pages import PAGES, README, blocks, commands

ALL = [pytest.param(words, id=f"{page}: {' '.join(words)[:60]}") for page in PAGES for words in commands(page)]
SERVE = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/mavis serve"
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"


def test_two_lines_set_up() -> None:
    assert blocks(README, "sh")[0].splitlines() == [SERVE, TEST]


def test_ci_runs_the_readme_line() -> None:
    assert TEST in Path(".ci/run").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("command", ["serve", "chat"])
def test_help(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "--model" in result.output


@pytest.mark.parametrize("words", ALL)
def test_a_shown_command_is_real(words: list[str]) -> None:
    name = words[0].removeprefix(".venv/bin/")
    assert words[0] in (name, ".venv/bin/" + name)
    if name == "mavis":
        known = _mavis_options(words[1])
        assert set(_options(words)) <= known
        ours = [word for word in words if word.startswith(("benchmarks/", "examples/")) and word.endswith(".yaml")]
        assert [path for path in ours if not Path(path).is_file()] == []
    elif name in ("python", "python3") and words[1] == "-m":
        if words[2] != "venv":
            module = Path(*words[2].split("."))
            _check_module(module / "__main__.py" if module.is_dir() else module.with_suffix(".py"), words)
    elif name in ("python", "python3"):
        assert Path(words[1]).is_file()
    elif name == "pip":
        assert words[1] == "install"
    else:
        assert name in ("curl", "pytest", "docker")


def test_every_option_of_the_scripts_is_named() -> None:
    page = Path("docs/values.md").read_text(encoding="utf-8")
    for script in sorted(Path("scripts/shipped").glob("*.py")):
        if f"`{script.stem}`" in page:
            missing = [option for option in _script_options(script) if f"{option}" not in page]
            assert not missing, (script, missing)


def _mavis_options(command: str) -> set[str]:
    group = typer.main.get_command(app)
    parameters = group.get_command(None, command).params  # type: ignore[attr-defined]
    return {option for p in parameters for option in (*p.opts, *p.secondary_opts)} | {"--help"}


def _options(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if word.startswith("--")]


def _check_module(path: Path, words: list[str]) -> None:
    options = _script_options(path)
    given = {
        "--" + option[5:] if option.startswith("--no-") else option for option in _options(words)
    }  # a flag's other half
    assert given <= set(options)
    assert {option for option, required in options.items() if required} <= given


def _script_options(path: Path) -> dict[str, bool]:
    """Options of a script's typer ``main`` and whether each is required, without importing torch."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (main,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    names = ["--" + argument.arg.replace("_", "-") for argument in main.args.args]
    optional = len(main.args.defaults)
    return {name: i < len(names) - optional for i, name in enumerate(names)}
