"""``examples/compare.py`` with nothing but the packages that the server itself needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.server.conftest import Live
from tests.server.conftest import serve as serve

EXAMPLE = Path(__file__).parents[2] / "examples" / "compare.py"
WITHOUT_OPENAI = "import runpy, sys; sys.modules['openai'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_OPENAI, str(EXAMPLE), "How was your day?", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_every_objective_is_shown_both_ways(serve: Callable[..., Live]) -> None:
    live = serve(api_key="some-key-0123456789")
    done = compare("--url", f"{live.url}/v1", "--key", "some-key-0123456789")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line[:15].split() for line in lines] == [
        ["unsteered"], ["cheerful", "-1"], ["cheerful", "+1"], ["concise", "-1"], ["concise", "+1"],
    ]  # fmt: skip
    assert "0.00 nats/token  Hello there, friend." in lines[0]
    assert "0.30 nats/token" in lines[1]


def test_what_goes_wrong_is_one_line(serve: Callable[..., Live]) -> None:
    refused = compare("--url", f"{serve(api_key='some-key-0123456789').url}/v1")
    silent = compare("--url", "http://127.0.0.1:9/v1")
    for done, said in ((refused, "missing or wrong API key"), (silent, "is `mavis serve` running?")):
        assert done.returncode == 1
        assert said in done.stderr and len(done.stderr.splitlines()) == 1
