"""openai-python's own tests of the endpoints that we have, against a live server, with strict response validation.

    python -m scripts.compat.openai_python                        the release that refused.yaml is about
    python -m scripts.compat.openai_python --checkout DIR         another one

Their tests come with the library's source release, which pip fetches; nothing of it becomes ours. They run in an
environment of their own, with the library as it is in that checkout. A test may fail only where refused.yaml says what
is refused, and where the server's answers prove it (``scripts.compat.refusals``). A test listed there that passes is an
error too, so the list stays true.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import yaml
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from benchmarks.machine import describe
from scripts.compat import record
from scripts.compat.refusals import Body, Record, Refusal, Send, differences
from scripts.served import served

REFUSED = Path(__file__).with_name("refused.yaml")
FILES = (
    "chat/test_completions.py",
    "chat/completions/test_messages.py",
    "test_completions.py",
    "test_models.py",
    "test_responses.py",
    "responses/test_input_items.py",
    "responses/test_input_tokens.py",
)
NEEDED = ("pytest", "pytest-asyncio", "rich")
OUR_STDERR = 2
# Not of text completions: their type does not know that an echoed prompt's first token has no log-probability.
WHOLE: dict[str, type[BaseModel]] = {"/v1/chat/completions": ChatCompletion, "/v1/responses": Response}


def main(
    checkout: Annotated[Path | None, typer.Option(help="Source of a release of openai-python.")] = None,
    environment: Annotated[Path | None, typer.Option(help="Virtual environment to use; made where missing.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for the result.")] = None,
) -> None:
    """Exit 0 where exactly the listed tests fail, as the list says."""
    listed = yaml.safe_load(REFUSED.read_text(encoding="utf-8"))
    refusals = [Refusal(**entry) for entry in listed["refused"]]
    with tempfile.TemporaryDirectory() as scratch:
        source = (checkout or fetch_release(listed["release"], Path(scratch))).resolve()
        python = make_environment((environment or Path(scratch) / "venv").absolute(), source)
        files = [source / "tests" / "api_resources" / name for name in FILES]
        with served("--served-model-name", ",".join(models_named(files)), log=OUR_STDERR) as server:
            records = run_tests(python, source, files, server.url, Path(scratch) / "records")
            wrong = differences(records, refusals, sender(server.url))
    result = summary(records, refusals, wrong, version_of(python))
    typer.echo(json.dumps(result, indent=2))
    if out is not None:
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    raise typer.Exit(1 if wrong else 0)


def fetch_release(version: str, folder: Path) -> Path:
    """The source release, unpacked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "openai", "--dest"]
    subprocess.run([*command, str(folder), f"openai=={version}"], check=True)
    subprocess.run(["tar", "-xzf", f"openai-{version}.tar.gz"], cwd=folder, check=True)
    return folder / f"openai-{version}"


def make_environment(folder: Path, source: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, f"{source}[aiohttp]", *NEEDED], check=True)
    return python


def version_of(python: Path) -> str:
    command = [str(python), "-c", "import openai; print(openai.__version__)"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=python.parent).stdout.strip()


def models_named(files: list[Path]) -> list[str]:
    """Every model that the tests ask for, so that the server answers to it."""
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return sorted(set(re.findall(r'"(gpt-[\w.-]+)"', text)))


def run_tests(python: Path, source: Path, files: list[Path], url: str, records: Path) -> list[Record]:
    """How every variant (sync or async, strict or not, transport) of every test ended."""
    # Their own options ask for a plugin that runs in parallel; what a deprecation warns about is not our answers.
    options = ["-q", "--no-header", "--tb=no", "--show-capture=no", "-p", "no:cacheprovider", "-p", "record"]
    options += ["-o", "addopts=", "-o", "filterwarnings=default"]
    ours = {"PYTHONPATH": str(Path(record.__file__).parent), record.RECORDS: str(records)}
    done = subprocess.run(
        [str(python), "-m", "pytest", *options, *map(str, files)],
        cwd=source,
        env={**os.environ, **ours, "TEST_API_BASE_URL": f"{url}/v1"},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):  # 1: some failed
        raise RuntimeError(f"their tests did not run (pytest's exit code {done.returncode}):\n{done.stdout[-3000:]}")
    return [Record(**json.loads(line)) for line in records.read_text(encoding="utf-8").splitlines()]


def sender(url: str) -> Send:
    """Posts to the server; a whole answer must be what the official client's types say, strictly."""

    def send(path: str, body: Body) -> tuple[int, Any]:
        answer = httpx.post(f"{url}{path}", json=body, timeout=120)
        if not answer.is_success:
            return answer.status_code, answer.json()["error"]
        if path in WHOLE and not body.get("stream"):
            WHOLE[path].model_validate_json(answer.content, strict=True)
        return answer.status_code, answer.text

    return send


def summary(records: list[Record], refusals: list[Refusal], wrong: list[str], release: str) -> dict[str, Any]:
    modules: dict[str, dict[str, int]] = {}
    for one in records:
        counts = modules.setdefault(one.name.rpartition(".")[0], {"tests": 0, "passed": 0})
        counts["tests"] += 1
        counts["passed"] += one.outcome == "passed"
    refused = [
        refusal.told() | {"tests": sum(one.name in refusal.names and one.outcome != "passed" for one in records)}
        for refusal in refusals
    ]
    return {
        "machine": describe(),
        "openai": release,
        "tests": len(records),
        "passed": sum(one.outcome == "passed" for one in records),
        "refused": sum(entry["tests"] for entry in refused),
        "not as listed": wrong,
        "by file": modules,
        "by refusal": refused,
    }


if __name__ == "__main__":
    typer.run(main)
