"""What the first runs look up is on the pages, and what stops a newcomer is noted. The runs need a network."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.text import Text

from scripts.first_runs import an_app, container_user
from scripts.first_runs.__main__ import RUNS, met, went_well
from scripts.first_runs.documented import NotDocumentedError, Page
from scripts.first_runs.environment import Environment, first_line
from scripts.first_runs.newcomer import READY, Newcomer, StuckError
from server.cli.banner import banner
from server.settings import load_settings
from tests.docs.pages import PAGES
from tests.server.fake_engine import FakeEngine


class Reached(Exception):
    """A server would start now."""


class Reader(Newcomer):
    """Types nothing, and stops where a server would start or training end."""

    def types(self, command: str, folder: Path, typed: str = "", complaints: bool = True) -> str:
        self._shell(command)
        return "mavis serve --values run/value"

    @contextmanager
    def serves(self, command: str, folder: Path) -> Iterator[str]:
        raise Reached(command)
        yield ""


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """The pages of this checkout, and nothing installed."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    (folder / "checkout").symlink_to(Path.cwd(), target_is_directory=True)
    return Environment(folder, {})


@pytest.mark.parametrize(
    ("name", "serving"),
    [
        ("readme", ".venv/bin/mavis serve"),
        ("openai script", "mavis serve --served-model-name '*'"),
        ("phone", 'mavis serve --host 0.0.0.0 --api-key "$MAVIS_API_KEY"'),
        ("researcher", "mavis serve --values run/value"),
        ("container user", "mavis serve"),
    ],
)
def test_what_each_run_types_is_on_the_pages(
    name: str, serving: str, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_user, "confined", lambda *_: ())
    monkeypatch.setattr("scripts.first_runs.phone.CHROMIUM", "chromium")
    with pytest.raises(Reached, match=f"^{serving.replace('*', '.').replace('$', '.')}$"):
        RUNS[name](Reader(environment, tmp_path))


def test_the_first_line_of_the_readme_makes_the_environment() -> None:
    making = first_line(Page.of(Path.cwd(), "README.md"))
    assert making == ["python3 -m venv .venv", ".venv/bin/pip install .", ".venv/bin/mavis serve"]


def test_what_a_server_prints_can_be_pasted(environment: Environment, tmp_path: Path) -> None:
    told = Text.from_markup(banner(load_settings(port=1), FakeEngine().info, ["cheerful"], True)).plain
    assert READY in told
    newcomer = Newcomer(environment, tmp_path)
    with pytest.raises(StuckError):
        newcomer.pastes(told, tmp_path)
    [step], [dead] = newcomer.steps, newcomer.dead_ends
    assert dead.step.startswith("curl http://127.0.0.1:1/v1/chat/completions") and "ended with 7" in dead.text
    assert step.typed == dead.step


def test_the_pages_keep_keys_in_the_variable_that_a_printed_request_names() -> None:
    assert "Bearer $MAVIS_API_KEY" in banner(load_settings(api_key="k"), FakeEngine().info, [], True)
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r'(?:--api-key "?|MAVIS_API_KEY="?)\$(\w+)', text)) == {"MAVIS_API_KEY"}


def test_dead_ends(environment: Environment, tmp_path: Path) -> None:
    def failing(newcomer: Newcomer) -> None:
        newcomer.succeeds("something")
        newcomer.types("echo fine; echo UserWarning: old >&2", tmp_path)
        newcomer.types(f"echo {tmp_path} is lost; exit 3", tmp_path)

    def undocumented(newcomer: Newcomer) -> None:
        newcomer.page("README.md").command("mavis fly")

    def without_success(newcomer: Newcomer) -> None:
        newcomer.types("true", tmp_path)

    found = met(failing, Newcomer(environment, tmp_path))
    assert [end["text"] for end in found["dead_ends"]] == ["UserWarning: old", "ended with 3: ~ is lost\n".strip()]
    assert not went_well(found) and found["success"] == "something" and found["seconds"] is not None
    [end] = met(undocumented, Newcomer(environment, tmp_path))["dead_ends"]
    assert end["text"] == "README.md has nothing that fits 'mavis fly'"
    assert not went_well(met(without_success, Newcomer(environment, tmp_path)))
    with pytest.raises(NotDocumentedError, match="does not say 'flying'"):
        Page("README.md", "walking").says("walking", "flying")


def test_a_server_that_does_not_start_is_one(environment: Environment, tmp_path: Path) -> None:
    newcomer = Newcomer(environment, tmp_path)
    with pytest.raises(StuckError, match="is not ready: cannot"), newcomer.serves("echo cannot", tmp_path):
        raise AssertionError


def test_the_containers_user(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the image and its service, without a home; and nobody but root can become this user."""
    newcomer = Newcomer(environment, tmp_path)
    image = newcomer.page("Dockerfile").text
    found = container_user.variables(newcomer, image, {"MAVIS_MODEL": None, "MAVIS_API_KEY": "x"})
    assert found["MAVIS_HOST"] == "0.0.0.0" and found["MAVIS_MODEL"] == "" and found["PYTHONUNBUFFERED"] == "1"
    assert not {"HOME", "HF_HOME"} & set(found) and found["MAVIS_API_KEY"] != "x"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    entry = met(container_user.run, newcomer)
    assert "only root" in entry["not run"] and went_well(entry)


def test_the_app_knows_nothing_of_this_server() -> None:
    said = Path(an_app.__file__).read_text(encoding="utf-8").partition('"""\n')[2]
    assert "mavis" not in said.lower() and "objective" not in said and "base_url" not in said
