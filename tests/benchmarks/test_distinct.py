"""Rows with different settings: that they differ, and one small run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import distinct
from benchmarks.distinct import setting
from tests.models import save_byte_llama


def test_settings_differ_in_all_three() -> None:
    found = [setting(number, ["a", "b"]) for number in range(32)]
    assert len({tuple(each.weights.items()) for each in found}) == 32
    assert len({each.beta for each in found}) == 32 and len({each.max_kl_per_token for each in found}) == 32


def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr(distinct, "draw", lambda found, path: drawn.append(path))
    save_byte_llama(tmp_path / "model")
    out = tmp_path / "distinct.json"
    small: dict[str, Any] = {"tokens": 2, "rounds": 1, "read_mib": 1, "threads": 1}
    distinct.main(str(tmp_path / "model"), rows=[1, 3], settings=[1, 3], objectives=[1, 2], out=out, **small)
    results = json.loads(out.read_text())["results"]
    assert results["settings"]["rows"] == 3
    assert set(results["settings"]["tokens_per_s"]) == {"1", "3"} and set(results["settings"]["over 1"]) == {"3"}
    assert [each["rows"] for each in results["heads"]] == [1, 3]
    assert all(set(each["over unguided"]) == {"1", "2"} for each in results["heads"])
    assert drawn == [tmp_path / "distinct.svg"]
