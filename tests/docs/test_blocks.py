"""Python blocks compile, import what exists and, where they talk to a server, run against a live one."""

from __future__ import annotations

import ast
import json
import runpy
import shlex
import sys
from pathlib import Path

import httpx
import pytest

from tests.docs.pages import PAGES, README, blocks
from tests.server.conftest import Live
from tests.server.fake_engine import NAMES, SCRIPT
from value_models.value_config import ValueConfig

URL = "http://127.0.0.1:8000/v1"
PYTHON = [pytest.param(code, id=f"{page} {i}") for page in PAGES for i, code in enumerate(blocks(page, "python"))]


@pytest.mark.parametrize("code", PYTHON)
def test_python(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("mavis_core", "value_models"):
            source = Path(*str(node.module).split(".")).with_suffix(".py").read_text(encoding="utf-8")
            defined = {getattr(statement, "name", "") for statement in ast.parse(source).body}
            assert {alias.name for alias in node.names} <= defined


SESSIONS = [c for c in PYTHON if "OpenAI(" in str(c.values[0]) and not str(c.id).startswith("docs/clients.md")]


@pytest.mark.parametrize("code", SESSIONS)  # tests/clients runs those of the page about clients
def test_client_session(code: str, live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    assert URL in code
    exec(compile(code.replace(URL, live.url + "/v1"), "page", "exec"), {})
    shown = capsys.readouterr().out
    assert SCRIPT.decode() in shown
    assert "'kl_nats'" in shown
    assert "'source': 'body'" in shown


def test_curl(live: Live) -> None:
    lines = [b.replace("\\\n", " ") for b in blocks(README, "sh") if b.startswith("curl")]
    assert lines
    for line in lines:
        words = shlex.split(line)
        body = words[words.index("-d") + 1]
        url = words[1].replace(URL, live.url + "/v1")
        name, _, value = words[words.index("-H") + 1].partition(": ")
        answer = httpx.post(url, content=body, headers={name: value})
        assert answer.status_code == 200
        assert answer.json()["choices"][0]["guidance"]["kl_nats"] > 0


def test_compare(live: Live, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["compare.py", "How was your day?", "--url", live.url + "/v1", "--seed", "3"])
    runpy.run_path("examples/compare.py", run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 * len(NAMES)
    assert "0.00 nats/token" in lines[0]
    assert all("0.30 nats/token" in line for line in lines[1:])
    assert {request.sampling.seed for request in live.engine.requests} == {3}


def test_the_value_config_loads(tmp_path: Path) -> None:
    (shown,) = blocks(Path("docs/values.md"), "json")
    (tmp_path / "config.json").write_text(shown)
    config = ValueConfig.load(tmp_path)
    config.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == json.loads(shown)
