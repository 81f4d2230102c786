"""vLLM's arm: its CPU build, in another environment and process, asked through a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

from benchmarks.peers.arm import Task, UnavailableError

CHILD = Path(__file__).with_name("vllm_child.py")
MARK = "\x1e"
KV_GIB = 2
SAID = 500  # characters of its last words in a reason
ANSWER_SECONDS = 900  # loading and warming up included
STOP_SECONDS = 60


class VllmArm:
    """One process with the model loaded, for tasks of one size.

    Args:
        python: of the environment that has vLLM.
        model: folder as transformers saves it.

    Raises:
        UnavailableError: it did not come to the point of answering.
    """

    def __init__(self, python: Path, model: str, dtype: str, task: Task) -> None:
        environment = {
            **os.environ,
            "VLLM_TARGET_DEVICE": "cpu",
            "VLLM_CPU_KVCACHE_SPACE": str(KV_GIB),
            "OMP_NUM_THREADS": str(task.threads),
            "HF_HUB_OFFLINE": "1",
        }
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (for as long as the process)
        try:
            self._process = subprocess.Popen(
                [str(python), str(CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env=environment,
            )
        except OSError as error:
            raise UnavailableError(f"{python}: {error}") from error
        try:
            self._ask({"model": model, "dtype": dtype, "rows": task.rows, "length": task.length + 1})
        except UnavailableError:
            self.close()
            raise

    def seconds(self, prompts: list[list[int]], tokens: int) -> float:
        answer = self._ask({"prompts": prompts, "tokens": tokens})
        assert answer["tokens"] == [tokens] * len(prompts)
        return float(answer["seconds"])

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        """Say a line, and wait for the one that answers it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        limit = Timer(ANSWER_SECONDS, self._process.kill)
        limit.start()
        try:
            with suppress(BrokenPipeError):  # it has ended; the log says why
                self._process.stdin.write(json.dumps(what) + "\n")
                self._process.stdin.flush()
            answer = next((line for line in self._process.stdout if line.startswith(MARK)), None)
        finally:
            limit.cancel()
        if answer is None:
            code = self._process.wait(STOP_SECONDS)
            self._log.seek(0)
            raise UnavailableError(f"vLLM ended with {code}: {self._log.read().strip()[-SAID:]}")
        found: dict[str, Any] = json.loads(answer[1:])
        return found

    def close(self) -> None:
        """Its input ends, and so does it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        self._process.stdout.close()
        self._log.close()
