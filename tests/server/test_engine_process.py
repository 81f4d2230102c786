"""``mavis serve --engine-process``: answers, and ends when the engine's process is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.forked import Forked
from tests.forked_mavis import mavis
from tests.models import byte_tokenizer, tiny_model

LONG = {"max_tokens": 40_000, "stream": True}


def status(url: str) -> int:
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return 0


def until(url: str, wanted: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (found := status(url)) != wanted:
        assert time.monotonic() < deadline, f"{url} answers {found}, not {wanted}"
        time.sleep(0.05)


def engine_pid(server: int) -> int:
    for child in Path(f"/proc/{server}/task/{server}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("there is no engine process")


@pytest.mark.skipif(sys.platform != "linux", reason="finds the process in /proc")
def test_serving_and_losing_the_engine_process(tmp_path: Path) -> None:
    llama = tiny_model("llama")
    llama.config.max_position_embeddings = 50_000  # so long that no answer is whole before the engine dies
    llama.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "server", "serve", "--engine-process", "--device", "cpu"]
    command += ["--model", str(tmp_path), "--port", url.rpartition(":")[2]]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            until(f"{url}/health", 200, 30)
            until(f"{url}/ready", 200, 180)
            body = {"prompt": [5, 6, 7], "max_tokens": 4, "ignore_eos": True}
            answer = httpx.post(f"{url}/v1/completions", json=body, timeout=20)
            assert answer.json()["usage"]["completion_tokens"] == 4
            with httpx.stream("POST", f"{url}/v1/completions", json=body | LONG, timeout=20) as stream:
                lines = stream.iter_lines()
                next(lines)
                os.kill(engine_pid(server.pid), signal.SIGKILL)
                rest = "".join(lines)
            assert '"code":"engine_unavailable"' in rest
            assert "SIGKILL" in rest
            _, log = server.communicate(timeout=20)
            assert server.returncode == 1
            assert log.rstrip().endswith("the engine process was ended by SIGKILL (out of memory is the usual cause)")
        finally:
            server.kill()


def test_a_model_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert Forked(mavis, "serve", "--engine-process", "--port", "0", "--model", "./nowhere", log=log).wait(180) == 1
    told = log.read_text(encoding="utf-8")
    assert "loading failed: ./nowhere: no such folder" in told
    assert "Traceback" not in told
