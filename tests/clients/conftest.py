"""The model that ships, served with a preset and a stored preference, and the programs that talk to it.

Clients that do not fit into the project's own environment are looked for in .cache/clients, where
tests/clients/install.sh puts them; tests of what is not there are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import forked_mavis

INSTALLED = Path(".cache/clients").absolute()
PYTHON = INSTALLED / "venv" / "bin" / "python"
NODE = INSTALLED / "node_modules" / ".bin" / "node"
WEIGHTS = {"cheerful": 1.0, "concise": -0.5}


def needs(program: Path) -> str:
    """``program``, or a skip that says how to get it."""
    if not program.exists():
        pytest.skip(f"{program.name} of .cache/clients is missing: sh tests/clients/install.sh")
    return str(program)


def run(command: list[str]) -> str:
    """Its output; LiteLLM asks for prices on the internet unless told not to."""
    without = {"PYTHONPATH", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
    env = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        command, env=env | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    presets = folder / "presets.yaml"
    presets.write_text(json.dumps({"warm": {"objective_weights": WEIGHTS}}), encoding="utf-8")
    options = ["--served-model-name", "m", "--presets", str(presets), "--database", f"sqlite:///{folder}/mavis.db"]
    server = forked_mavis.server(*options, "--max-num-seqs", "4")
    stored = httpx.put(f"{server.url}/v1/preferences/alice", json={"objective_weights": WEIGHTS}, timeout=30)
    stored.raise_for_status()
    yield server.url
    server.process.kill()
    server.process.wait(30)
