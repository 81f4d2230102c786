"""Every code block of docs/clients.md that can run here does, against the model that ships."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import INSTALLED, NODE, PYTHON, needs, run
from tests.docs.pages import blocks

PAGE = Path("docs/clients.md")
URL = "http://127.0.0.1:8000"


def ready(code: str, url: str) -> str:
    assert URL in code
    return code.replace(URL, url).replace('"mavis"', '"m"').replace("openai/mavis", "openai/m")


@pytest.mark.parametrize("code", blocks(PAGE, "python"))
def test_python(code: str, url: str) -> None:
    if "import Anthropic" in code:
        pytest.importorskip("anthropic")
    other = re.search("langchain|litellm", code)
    found = run([needs(PYTHON) if other else sys.executable, "-c", ready(code, url)])
    assert len(found) > 3
    if "guidance" in code:
        assert re.search(r"kl_nats(': |=)[1-9.]*[1-9]", found)


def test_javascript(url: str) -> None:
    (code,) = blocks(PAGE, "js")
    node = needs(NODE)
    file = INSTALLED.resolve() / "node_modules" / "page.mjs"  # modules are looked for from where the file is
    file.write_text(ready(code, url), encoding="utf-8")
    try:
        assert "source: 'body'" in run([node, str(file)])
    finally:
        file.unlink()


def test_curl(url: str) -> None:
    (block,) = (each for each in blocks(PAGE, "sh") if each.startswith("curl "))
    for line in ready(block, url).replace("\\\n", " ").splitlines():
        done = subprocess.run([*shlex.split(line), "-sSf"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert '"cheerful":1.0' in done.stdout
