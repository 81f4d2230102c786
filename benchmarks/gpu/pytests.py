"""Stage: the tests marked ``gpu`` where pytest is installed; else it says so, and ``tokens`` checks on its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec

from benchmarks.gpu.record import Record

BARE = ["-c", os.devnull, "--rootdir", ".", "-o", "pythonpath=.", "--noconftest", "-p", "no:cacheprovider"]
COUNTED = r"(\d+) (passed|failed|skipped|errors?|deselected|tests collected)"
TESTS = ["tests/mavis_core/test_devices.py", "tests/mavis_core/model/backends/test_triton.py"]


def main() -> None:
    record = Record.of_arguments()
    if find_spec("pytest") is None:
        record.add(pytest="not installed")
        return
    beside = ["-n", "6"] if find_spec("xdist") is not None else []  # compiling kernels takes most of the time
    asked = ["--collect-only"] if record.rehearse else ["-m", "gpu", "-rf", *beside]
    for path in TESTS:  # each apart: one that crashes CUDA does not take the other along
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *BARE, *asked, path], capture_output=True, text=True, check=False
        )
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        counts = {name: int(count) for count, name in re.findall(COUNTED, lines[-1] if lines else "")}
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        last = (lines + done.stderr.splitlines())[-40:] if done.returncode else lines[-1:]
        record.add(path=path, exit=done.returncode, counts=counts, failed=failed, last=last)
    wrong = [finding["path"] for finding in record.findings if finding["exit"]]
    if wrong:
        raise SystemExit(f"not all passed: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
