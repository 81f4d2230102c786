"""llama.cpp's arm: ``llama-batched-bench`` on a GGUF file of the same model.

It reads prompts and generates like the others, but its tokens are drawn at random without looking at the logits, so
sampling is not in its time. Each call is a process of its own; what it takes to load is not counted.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.peers.arm import Task, UnavailableError

PROGRAM = "llama-batched-bench"
MAX_SECONDS = 600
SAID = 300  # characters of its last words in a reason


class LlamaCppArm:
    """One file.

    Args:
        folder: where llama.cpp's programs are.

    Raises:
        UnavailableError: program or file is not there.
    """

    def __init__(self, folder: Path, gguf: Path, task: Task) -> None:
        self._program, self._gguf, self._threads = folder / PROGRAM, gguf, task.threads
        for path in (self._program, gguf):
            if not path.is_file():
                raise UnavailableError(f"{path} is not there")

    def seconds(self, prompts: list[list[int]], tokens: int) -> float:
        rows, prompt = len(prompts), len(prompts[0])
        options = {
            "-m": self._gguf,
            "-c": rows * (prompt + tokens) + 256,
            "-b": max(2048, rows * prompt),
            "-npp": prompt,
            "-ntg": tokens,
            "-npl": rows,
            "-t": self._threads,
            "-tb": self._threads,
            "--output-format": "jsonl",
        }
        command = [str(self._program), *(str(word) for pair in options.items() for word in pair)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MAX_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"{PROGRAM}: {error}") from error
        line = _measured(done.stdout)
        if done.returncode or line is None or (line["pl"], line["pp"], line["tg"]) != (rows, prompt, tokens):
            said = (done.stderr or done.stdout).strip()[-SAID:]
            raise UnavailableError(f"{PROGRAM} ended with {done.returncode}: {said}")
        return float(line["t"])

    def close(self) -> None:
        pass


def _measured(output: str) -> dict[str, Any] | None:
    """The line with figures; the others are for people."""
    found = [line for line in output.splitlines() if line.startswith("{") and '"speed_tg"' in line]
    return json.loads(found[-1]) if found else None
