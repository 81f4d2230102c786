"""The runner of other projects' clients: what a loop says, what it does not get to say, and which are named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer

from scripts.compat.clients import __main__ as command
from scripts.compat.clients import environment
from scripts.compat.clients.catalogue import CLIENTS, Client
from scripts.compat.clients.environment import LOOPS, NotInstalledError, install, run_loop

CHECKS = """
import sys
sys.argv = ["x", "http://127.0.0.1:1", "folder"]
sys.path.insert(0, {loops!r})
from checks import check, run

@check("good")
def good() -> None:
    print("noise")

@check("bad")
async def bad() -> None:
    raise ValueError("first line\\nsecond line")

@check("group")
def group() -> None:
    raise ExceptionGroup("several", [KeyError("inner")])

run()
"""
CLIENT = Client("loop.py", ("nothing",))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment whose Python is ours, and loops of our own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(environment, "LOOPS", tmp_path)
    return tmp_path


def ended(folder: Path, program: str, seconds: float = 60) -> dict[str, str]:
    (folder / "loop.py").write_text(program, encoding="utf-8")
    return run_loop(CLIENT, folder, "http://127.0.0.1:1", folder, seconds)


def test_each_check_says_how_it_ended(folder: Path) -> None:
    assert ended(folder, CHECKS.format(loops=str(LOOPS))) == {
        "good": "passed",
        "bad": "ValueError: first line",
        "group": "KeyError: 'inner'",
    }


def test_what_did_not_get_so_far(folder: Path) -> None:
    assert ended(folder, "import no_such_client")["start"].startswith("ModuleNotFoundError")
    said = '{"check": "a", "said": "passed"}'
    late = ended(folder, f"import time\nprint('{said}', flush=True)\ntime.sleep(60)", seconds=3)
    assert late == {"a": "passed", "time": "not done within 3 s"}
    assert ended(folder, f"print('{said}')\nraise SystemExit('an error')") == {"a": "passed", "end": "an error"}


def test_what_cannot_be_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = [sys.executable, "-c", "import sys; sys.exit('ERROR: No matching distribution')"]
    monkeypatch.setattr(environment, "_installing", lambda client, folder: [refuse])
    with pytest.raises(NotInstalledError, match="No matching distribution"):
        install(CLIENT, tmp_path / "new", 60)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(NotInstalledError, match="no npm"):
        install(Client("loop.mjs", ("nothing",)), tmp_path / "other", 60)


def test_clients_by_name() -> None:
    assert command._chosen("") == list(CLIENTS)
    assert command._chosen(" llm, openai") == ["llm", "openai"]
    with pytest.raises(typer.BadParameter, match="'nobody' is none of: openai, "):
        command._chosen("llm,nobody")
    assert all((LOOPS / client.program).exists() for client in CLIENTS.values())
