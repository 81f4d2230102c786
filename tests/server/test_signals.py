"""A second signal: a real process in the middle of its steps, whose last answers and exit code count."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.models import byte_tokenizer, tiny_model

BODY = {"prompt": [5, 6, 7], "ignore_eos": True, "n": 8}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-llama")
    llama = tiny_model("llama")
    llama.config.max_position_embeddings = 50_000  # so long that nothing is over before its test is
    llama.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def until(url: str, wanted: int, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = httpx.get(url, timeout=5).status_code
        except httpx.TransportError:
            found = 0
        if found == wanted:
            return
        assert time.monotonic() < deadline, f"{url} answers {found}, not {wanted}"
        time.sleep(0.05)


def until_running(url: str, rows: int) -> None:
    deadline = time.monotonic() + 60
    while f"mavis:num_requests_running {rows}.0" not in httpx.get(f"{url}/metrics", timeout=5).text:
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Asked:
    """A request on a thread, with what came back."""

    def __init__(self, url: str, **body: Any) -> None:
        self.status = 0
        self.lines: list[str] = []
        self.begun = threading.Event()
        self._url, self._body = url, body
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        with httpx.stream("POST", self._url + "/v1/completions", json=BODY | self._body, timeout=60) as response:
            self.status = response.status_code
            for line in response.iter_lines():
                if line:
                    self.lines.append(line)
                    self.begun.set()

    def error(self) -> Any:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return orjson.loads([line for line in self.lines if line != "data: [DONE]"][-1].removeprefix("data: "))["error"]


@contextmanager
def serve(model: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "server", "serve", "--device", "cpu", "--database", "sqlite://"]
    command += ["--model", str(model), "--port", url.rpartition(":")[2], *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(f"{url}/ready", 200)
            yield process, url
        finally:
            process.kill()


def test_a_second_signal_answers_and_ends_at_once(model: Path) -> None:
    with serve(model, "--drain-timeout", "60") as (process, url):
        stream, whole = Asked(url, stream=True, max_tokens=40_000), Asked(url, max_tokens=40_000)
        assert stream.begun.wait(30)
        until_running(url, 16)
        process.send_signal(signal.SIGTERM)
        until(f"{url}/ready", 503, 10)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=15)
        assert process.returncode == 128 + signal.SIGTERM, log
        assert "terminate called" not in log
        assert whole.error()["code"] == stream.error()["code"] == "engine_unavailable"
        assert (stream.status, whole.status) == (200, 503)
