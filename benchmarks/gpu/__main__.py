"""Runs all stages within the time there is, and writes ``results.json`` and ``README.md`` after each of them."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.page import page
from benchmarks.gpu.stages import REHEARSED, STAGES, not_begun, run

LEAST = 10.0  # seconds with which a stage is begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with a tiny model")
    parser.add_argument("--seconds", type=float, default=570.0, help="for all stages together")
    parser.add_argument("--only", nargs="*", help="names of stages")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + asked.seconds
    report: dict[str, Any] = {"benchmark": "gpu", "rehearse": asked.rehearse, "stages": []}
    with tempfile.TemporaryDirectory() as folder:
        for stage in REHEARSED if asked.rehearse else STAGES:
            if asked.only and stage.name not in asked.only:
                continue
            left = min(stage.limit, end - time.monotonic())
            found = run(stage, Path(folder), asked.rehearse, left) if left >= LEAST else not_begun(stage)
            report["stages"].append(found)
            print(
                f"{stage.name}: {found['ended']}, {found['seconds']} s", *found.get("last", ()), sep="\n  ", flush=True
            )
            (asked.out / "results.json").write_text(json.dumps(report, indent=2) + "\n")
            (asked.out / "README.md").write_text(page(report))
    print(page(report))


if __name__ == "__main__":
    main()
