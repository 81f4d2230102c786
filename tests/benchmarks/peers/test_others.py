"""Peers in processes of their own, with stand-ins for their programs: what they are asked, and how they fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.peers.arm import Task, UnavailableError
from benchmarks.peers.llama_cpp import PROGRAM, LlamaCppArm
from benchmarks.peers.vllm_cpu import VllmArm

TASK = Task(rows=2, prompt=3, tokens=5, threads=1)
PROMPTS = [[6, 7, 8], [9, 10, 11]]
VLLM = """
class SamplingParams:
    def __init__(self, **asked):
        assert asked["ignore_eos"]
        self.tokens = asked["max_tokens"]

class LLM:
    def __init__(self, **asked):
        assert (asked["dtype"], asked["max_num_seqs"], asked["enable_prefix_caching"]) == ("float32", 2, False)
        assert asked["model"] == "a model", "no such model"
        print("vLLM says something first")

    def generate(self, prompts, sampling, use_tqdm):
        class Answer:
            token_ids = [1] * sampling.tokens
        Answer.outputs = [Answer]
        assert [prompt["prompt_token_ids"] for prompt in prompts] == [[6, 7, 8], [9, 10, 11]]
        return [Answer] * len(prompts)
"""


def program(folder: Path, *lines: str) -> Path:
    """A stand-in for llama.cpp's program, and a file that could be a model."""
    path = folder / PROGRAM
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    (folder / "model.gguf").write_bytes(b"GGUF")
    return folder / "model.gguf"


def test_llama_cpp_is_asked_for_the_same_task(tmp_path: Path) -> None:
    figures = {"pp": 3, "tg": 5, "pl": 2, "t_pp": 0.5, "t_tg": 2.0, "speed_tg": 5.0, "t": 2.5}
    said = f"cat <<'E'\nn_threads = 1\n{json.dumps(figures)}\nE"
    gguf = program(tmp_path, f'echo "$@" > {tmp_path}/asked', said)
    assert LlamaCppArm(tmp_path, gguf, TASK).seconds(PROMPTS, 5) == 2.5
    asked = (tmp_path / "asked").read_text()
    assert f"-m {gguf} " in asked and "-npp 3 -ntg 5 -npl 2 -t 1 -tb 1 " in asked


def test_llama_cpp_that_fails_says_why(tmp_path: Path) -> None:
    gguf = program(tmp_path, "echo no such architecture >&2", "exit 3")
    with pytest.raises(UnavailableError, match=f"{PROGRAM} ended with 3: no such architecture"):
        LlamaCppArm(tmp_path, gguf, TASK).seconds(PROMPTS, 5)
    with pytest.raises(UnavailableError, match=r"other\.gguf is not there"):
        LlamaCppArm(tmp_path, tmp_path / "other.gguf", TASK)


def test_vllm_answers_through_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vllm.py").write_text(VLLM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    arm = VllmArm(Path(sys.executable), "a model", "float32", TASK)
    assert 0 < arm.seconds(PROMPTS, 5) < 10
    assert 0 < arm.seconds(PROMPTS, 4) < 10
    arm.close()
    assert arm._process.returncode == 0


def test_vllm_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vllm.py").write_text(VLLM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="no such model"):
        VllmArm(Path(sys.executable), "another", "float32", TASK)
    with pytest.raises(UnavailableError, match="not/there"):
        VllmArm(Path("not/there"), "a model", "float32", TASK)
