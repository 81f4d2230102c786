"""Five first runs in fresh environments: what newcomers meet who type what the pages say, and how long it takes them.

    python -m scripts.first_runs --out benchmarks/results/first_runs.json
    python -m scripts.first_runs --only phone,researcher --environment path/to/keep/it

Each has a home of its own, none of our variables, and one virtual environment in common, which the README's first line
makes out of the last commit; making it is timed apart. A dead end is an error, a traceback, a warning on the error
stream, or a step that no page says. On a machine that is busy otherwise (``load_average``) the seconds say nothing.
Needs the extra ``dev``, a network for pip, and Chromium for the phone.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.machine import describe
from scripts.first_runs import container_user, openai_script, phone, readme_line, researcher
from scripts.first_runs.environment import Environment, make
from scripts.first_runs.newcomer import CannotBeHadError, Newcomer

RUNS: dict[str, Callable[[Newcomer], None]] = {
    "readme": readme_line.run,
    "openai script": openai_script.run,
    "phone": phone.run,
    "researcher": researcher.run,
    "container user": container_user.run,
}


def met(run: Callable[[Newcomer], None], newcomer: Newcomer) -> dict[str, Any]:
    """One run's entry of the result."""
    try:
        with newcomer.on_the_way():
            run(newcomer)
    except CannotBeHadError as error:
        return {"not run": str(error)}
    return {
        "seconds": newcomer.seconds,
        "success": newcomer.success,
        "dead_ends": [asdict(each) for each in newcomer.dead_ends],
        "installing_seconds": round(newcomer.installing, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "steps": [asdict(each) for each in newcomer.steps],
    }


def went_well(entry: dict[str, Any]) -> bool:
    return "not run" in entry or (entry["success"] is not None and not entry["dead_ends"])


def home_of(environment: Environment, name: str) -> Path:
    home = Path(tempfile.mkdtemp(prefix=f"{name.replace(' ', '-')}-", dir=environment.folder))
    home.chmod(0o755)
    return home


def main(
    only: Annotated[str, typer.Option(help="Names of runs, comma-separated; all where empty.")] = "",
    environment: Annotated[Path | None, typer.Option(help="Folder to keep the environment in.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file; runs that it has and are not made now stay.")] = None,
) -> None:
    """Exit 0 where every run succeeded without a dead end."""
    names = [name.strip() for name in only.split(",") if name.strip()] or list(RUNS)
    if unknown := [name for name in names if name not in RUNS]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of: {', '.join(RUNS)}", param_hint="--only")
    found = json.loads(out.read_text(encoding="utf-8"))["runs"] if out is not None and out.exists() else {}
    with ExitStack() as stack:
        folder = environment or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = make(Path.cwd(), folder.absolute())
        for name in names:
            found[name] = met(RUNS[name], Newcomer(made, home_of(made, name)))
            typer.echo(f"{name}: {json.dumps(found[name], indent=2, ensure_ascii=False)}")
            if out is not None:
                whole = {"machine": describe(), "environment_seconds": made.seconds, "runs": found}
                out.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    raise typer.Exit(0 if all(went_well(found[name]) for name in names) else 1)


if __name__ == "__main__":
    typer.run(main)
