"""One small run of everything: each arm has figures or a reason, and a file and a picture are left."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import __main__ as peers
from benchmarks.peers.arm import Arm, Task
from benchmarks.peers.lineup import (
    CONTINUOUS,
    GENERATE,
    HEADS,
    INT8,
    LMS,
    ONE_BY_ONE,
    ONE_LM,
    SIDE_BY_SIDE,
    UNGUIDED,
    VLLM,
    WORDS,
    Lineup,
)
from benchmarks.peers.own import ValueShapes
from tests.models import save_byte_llama, tiny_policy

RUN = {HEADS, UNGUIDED, ONE_LM, LMS, WORDS, GENERATE, CONTINUOUS, SIDE_BY_SIDE}


def test_every_arm_has_figures_or_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_byte_llama(tmp_path / "model")
    out = tmp_path / "results" / "peers.json"
    small: dict[str, Any] = {"prompt_tokens": 5, "tokens": 3, "rounds": 1, "lm_hidden": 32, "read_mib": 1, "threads": 1}
    gguf = tmp_path / "model.Q8_0.gguf"
    gguf.write_bytes(b"GGUF")
    peers.main(str(tmp_path / "model"), gguf=[gguf], rows=[1, 2], out=out, **small)
    found = json.loads(out.read_text())
    one, two = found["results"]
    assert set(one["tokens_per_s"]) == {*RUN, ONE_BY_ONE} and set(two["tokens_per_s"]) == RUN
    assert set(one["share_of_limits"]) == {*RUN, ONE_BY_ONE}
    assert all(len(rounds) == 1 and rounds[0] > 0 for rounds in one["seconds"].values())
    assert one["not_run"].keys() == {INT8, "llama.cpp model.Q8_0", VLLM}
    assert two["not_run"][ONE_BY_ONE] == "it is for one row"
    assert one["not_run"][VLLM] == "--vllm is not given"
    assert "multiples of 32" in one["not_run"][INT8]  # the tiny model's are not
    assert {"heads / unguided", "unguided / generate()", "lms / papers' loop"} <= one["ratios"].keys()
    assert out.with_suffix(".svg").read_text().startswith("<?xml")
    printed = capsys.readouterr().out
    out.with_suffix(".svg").unlink()
    peers.main(redraw=True, out=out)
    assert out.with_suffix(".svg").exists()
    assert "| ratios | rows: 1 | rows: 2 |" in printed and printed.endswith(capsys.readouterr().out)


def test_ratios_compare_like_with_like() -> None:
    speeds = {UNGUIDED: [4.0], LMS: [2.0], INT8: [6.0], SIDE_BY_SIDE: [1.0], GENERATE: [2.0], "llama.cpp a.Q8_0": [3.0]}
    assert peers.ratios(speeds) == {
        "lms / unguided": 0.5,
        "unguided int8 / unguided": 1.5,
        "unguided / generate()": 2.0,
        "unguided / llama.cpp a.Q8_0": 1.333,
        "lms / papers' batched loop": 2.0,
        "unguided int8 / llama.cpp a.Q8_0": 2.0,
    }


def test_what_others_raise_is_a_reason_and_what_we_raise_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    task, asked = Task(1, 3, 2, 1), [[6, 7, 8]]

    def broken(task: Task) -> Arm:
        raise KeyError("model_type")

    lineup = Lineup("", tiny_policy("llama"), ValueShapes(1, 32, 1, 1))
    monkeypatch.setattr(Lineup, "makers", lambda self: {GENERATE: broken})
    with ExitStack() as stack:
        assert peers.opened(lineup, task, asked, stack) == ({}, {GENERATE: "KeyError: 'model_type'"})
    monkeypatch.setattr(Lineup, "makers", lambda self: {HEADS: broken})
    with ExitStack() as stack, pytest.raises(KeyError):
        peers.opened(lineup, task, asked, stack)
