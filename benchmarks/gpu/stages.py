"""The stages of a run, in order of worth, each a process of its own that has so many seconds and no more.

A stage that fails, crashes CUDA or takes too long costs the others nothing, and what it had found by then is kept.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAST_LINES = 25


@dataclass(frozen=True, slots=True)
class Stage:
    """A module of this package, its arguments, and the seconds that it may take."""

    name: str
    module: str
    limit: float
    shape: str = ""
    backend: str = ""


STAGES = (
    Stage("rates", "rates", 45),
    Stage("tests", "pytests", 120),
    Stage("tokens, triton", "tokens", 75, backend="triton"),
    Stage("tokens, sdpa", "tokens", 45, backend="sdpa"),
    Stage("kernels", "kernels", 75),
    Stage("7b, triton", "steps", 90, "7b", "triton"),
    Stage("1b, triton", "steps", 75, "1b", "triton"),
    Stage("7b, sdpa", "steps", 75, "7b", "sdpa"),
    Stage("1b, sdpa", "steps", 60, "1b", "sdpa"),
)
REHEARSED = (
    Stage("rates", "rates", 120),
    Stage("tokens, triton", "tokens", 240, backend="triton"),
    Stage("tokens, sdpa", "tokens", 120, backend="sdpa"),
    Stage("kernels", "kernels", 120),
    Stage("tiny, sdpa", "steps", 120, "tiny", "sdpa"),
    Stage("tests", "pytests", 120),
)


def run(stage: Stage, folder: Path, rehearse: bool, seconds: float) -> dict[str, Any]:
    """Run a stage for at most ``seconds``: how it ended, how long it took, what it found, why it failed if it did."""
    path, log = folder / f"{stage.name}.json", folder / f"{stage.name}.log"
    command = [sys.executable, "-m", f"benchmarks.gpu.{stage.module}", str(path)]
    command += [*(["--rehearse"] if rehearse else []), "--shape", stage.shape, "--backend", stage.backend]
    start = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=_environment(rehearse), start_new_session=True
        )
        try:
            code = process.wait(seconds)
            ended = "done" if code == 0 else f"failed ({code})"
        except subprocess.TimeoutExpired:
            ended = f"stopped after {seconds:.0f} s"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    findings = json.loads(path.read_text()) if path.exists() else []
    result = {"stage": stage.name, "ended": ended, "seconds": round(time.monotonic() - start, 1), "findings": findings}
    if ended != "done":
        result["last"] = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
    return result


def not_begun(stage: Stage) -> dict[str, Any]:
    """The result of a stage for which no time is left."""
    return {"stage": stage.name, "ended": "not begun: no time left", "seconds": 0.0, "findings": []}


def _environment(rehearse: bool) -> dict[str, str]:
    """Without network; a rehearsal runs Triton's kernels by its interpreter."""
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return os.environ | offline | ({"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"} if rehearse else {})
