"""openai-python's own tests of the endpoints that we have, against a live server, with strict response validation.

    python -m scripts.compat.openai_python                        the release that refused.yaml is about
    python -m scripts.compat.openai_python --checkout DIR         another one

Their tests come with the library's source release, which pip fetches; nothing of it becomes ours. They run in an
environment of their own, with the library as it is in that checkout. A test may fail only if refused.yaml says so and
if the server's error is the one it names: for a test that sends what we refuse. A test listed there that passes is an
error too, so the list stays true.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Annotated, Any
from xml.etree import ElementTree

import typer
import yaml

from scripts.compat.served import served

REFUSED = Path(__file__).with_name("refused.yaml")
FILES = ("chat/test_completions.py", "test_completions.py", "test_models.py", "test_responses.py")
NEEDED = ("pytest", "pytest-asyncio", "rich")
Outcomes = dict[str, dict[str, str]]


def main(
    checkout: Annotated[Path | None, typer.Option(help="Source of a release of openai-python.")] = None,
    environment: Annotated[Path | None, typer.Option(help="Virtual environment to use; made where missing.")] = None,
) -> None:
    """Exit 0 where exactly the listed tests fail, with the listed errors."""
    listed = yaml.safe_load(REFUSED.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        source = (checkout or fetch_release(listed["release"], Path(scratch))).resolve()
        python = make_environment((environment or Path(scratch) / "venv").absolute(), source)
        files = [source / "tests" / "api_resources" / name for name in FILES]
        with served("--served-model-name", ",".join(models_named(files))) as url:
            outcomes = run_tests(python, source, files, url, Path(scratch) / "report.xml")
    wrong = differences(outcomes, listed["tests"])
    total = sum(map(len, outcomes.values()))
    failed = sum(bool(error) for variants in outcomes.values() for error in variants.values())
    typer.echo(f"{total} tests: {total - failed} pass, {failed} fail, {len(wrong)} not as listed")
    for line in wrong:
        typer.echo(line)
    raise typer.Exit(1 if wrong else 0)


def fetch_release(version: str, folder: Path) -> Path:
    """The source release, unpacked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest"]
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


def models_named(files: list[Path]) -> list[str]:
    """Every model that the tests ask for, so that the server answers to it."""
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return sorted(set(re.findall(r'"(gpt-[\w.-]+)"', text)))


def run_tests(python: Path, source: Path, files: list[Path], url: str, report: Path) -> Outcomes:
    """Test -> variant (sync or async, strict or not, transport) -> its error, empty where it passed."""
    command = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "--tb=no",
        "--show-capture=no",
        "-p",
        "no:cacheprovider",
    ]
    # Their own options ask for a plugin that runs in parallel; what a deprecation warns about is not our answers.
    command += ["-o", "addopts=", "-o", "filterwarnings=default", f"--junitxml={report}", *map(str, files)]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=source, env=clean | {"TEST_API_BASE_URL": f"{url}/v1"}, capture_output=True, text=True
    )
    if done.returncode not in (0, 1):  # 1: some failed
        raise RuntimeError(f"their tests did not run (pytest's exit code {done.returncode}):\n{done.stdout[-3000:]}")
    return read_report(report)


def read_report(report: Path) -> Outcomes:
    outcomes: Outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        module, _, group = case.attrib["classname"].removeprefix("tests.api_resources.").rpartition(".")
        name, _, variant = case.attrib["name"].partition("[")
        found = [*case.iter("failure"), *case.iter("error"), *case.iter("skipped")]
        message = found[0].attrib.get("message", "") or found[0].tag if found else ""
        outcomes.setdefault(f"{module}.{name}", {})[f"{group}[{variant}"] = message
    return outcomes


def differences(outcomes: Outcomes, listed: list[dict[str, Any]]) -> list[str]:
    """Sentences on every test that fails without being listed, is listed and passes, or fails in another way."""
    refusals = {name: entry["error"] for entry in listed for name in entry["fail"]}
    wrong = [f"{name}: listed, but there is no such test" for name in sorted(refusals.keys() - outcomes.keys())]
    for name, variants in outcomes.items():
        expected = refusals.get(name)
        for variant, error in variants.items():
            where = f"{name} {variant}"
            if expected is None and error:
                wrong.append(f"{where}: fails: {error[:300]}")
            elif expected is not None and not error:
                wrong.append(f"{where}: passes, but is listed as refused")
            elif expected is not None and expected not in error:
                wrong.append(f"{where}: fails, but not with {expected!r}: {error[:300]}")
    return wrong


if __name__ == "__main__":
    typer.run(main)
