"""``report.json`` adds up all sittings: those that ended, that failed, and that were killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from value_models.training import sittings
from value_models.training.sittings import Sitting


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def interrupted(path: Path) -> None:
    with Sitting(path, "training"):
        time.sleep(0.15)
        raise KeyboardInterrupt


def test_sittings_add_up_and_what_was_found_done_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"rollouts": {"shards": 2, "seconds": 100.0}, "labels": {"seconds": 7.0}}))
    with Sitting(path, "rollouts") as sitting:
        sitting.foresee({"disk_gb": 2})
        began = time.process_time()
        while time.process_time() - began < 0.1:
            pass
        sitting.done({"shards": 3})
    found = read(path)
    assert found["rollouts"]["cpu_seconds"] >= 0.1 and 0.01 < found["rollouts"]["memory_gb"] < 64
    with Sitting(path, "rollouts") as sitting:
        sitting.foresee({"disk_gb": 1})  # of what was left
        sitting.done({"shards": 3})
    found = read(path)
    assert found["rollouts"]["forecast"] == {"disk_gb": 2}
    assert found["labels"] == {"seconds": 7.0}
    assert (found["rollouts"]["shards"], found["rollouts"]["sittings"]) == (3, 3)
    assert 100 <= found["rollouts"]["seconds"] < 110
    before = path.stat().st_mtime_ns
    with Sitting(path, "rollouts") as sitting:
        sitting.done({"shards": 3}, worked=False)
    assert path.stat().st_mtime_ns == before


def test_one_that_looked_for_long_and_found_all_done_takes_its_seconds_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sittings, "BEAT", 0.01)
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"labels": {"seconds": 7.0, "sittings": 1}}))
    with Sitting(path, "labels") as sitting:
        while read(path)["labels"]["sittings"] == 1:
            time.sleep(0.005)
        sitting.done({}, worked=False)
    assert read(path) == {"labels": {"seconds": 7.0, "sittings": 1}}


def test_one_that_fails_late_counts_and_one_that_is_refused_at_once_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(KeyboardInterrupt), Sitting(path, "training"):
        raise KeyboardInterrupt
    assert not path.exists()
    monkeypatch.setattr(sittings, "BEAT", 0.01)
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert read(path)["training"]["sittings"] == 1
    assert read(path)["training"]["seconds"] >= 0.1


def test_one_that_is_killed_counts(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"training": {"seconds": 50.0, "sittings": 3}}))
    code = (
        "import sys, time; from pathlib import Path; from value_models.training import sittings;"
        "sittings.BEAT = 0.05\n"
        "with sittings.Sitting(Path(sys.argv[1]), 'training'): time.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    deadline = time.monotonic() + 60
    while read(path)["training"]["seconds"] < 50.1:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with Sitting(path, "training") as sitting:
        sitting.done({"epochs": 2})
    found = read(path)["training"]
    assert (found["epochs"], found["sittings"]) == (2, 5)
    assert found["seconds"] >= 50.1
