"""Models of a hub, here a folder behind a small HTTP server: one that answers, one that does so no longer, or never."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import transformers
from huggingface_hub import close_session

from mavis_core.api.errors import LoadError
from mavis_core.model import hub
from mavis_core.model.policy import Policy
from tests.gguf_file import write_gguf
from tests.models import save_byte_llama

CPU = torch.device("cpu")
COMMIT = "0123456789" * 4


@dataclass
class Hub:
    """``folder`` holds ``owner/name/...``."""

    folder: Path
    url: str
    server: ThreadingHTTPServer

    def fall_silent(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Files(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._send(False)

        def do_GET(self) -> None:
            self._send(True)

        def _send(self, body: bool) -> None:
            repository, _, name = self.path.partition("/resolve/main/")
            file = folder / repository.lstrip("/") / name
            content = file.read_bytes() if name and file.is_file() else b""
            self.send_response(200 if content else 404)
            self.send_header("X-Repo-Commit", COMMIT)
            if content:
                self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """To nobody."""

    return Files


def become(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is at ``url`` for as long as the test lasts."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None, raising=False)  # it keeps the address
    close_session()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(tmp_path / "hub"))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    become(url, monkeypatch)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield Hub(tmp_path / "hub", url, server)
    server.shutdown()
    server.server_close()
    close_session()


def numbers(policy: Policy) -> torch.Tensor:
    with torch.inference_mode():
        return policy.logits(policy.backbone.forward_plain(torch.tensor([3, 50, 7])))


@pytest.mark.parametrize("model", ["owner/tiny", "owner/tiny:sub/tiny.gguf"])
def test_a_model_of_the_hub_is_fetched_once(running: Hub, model: str) -> None:
    (running.folder / "owner/tiny/sub").mkdir(parents=True)
    save_byte_llama(running.folder / "owner/tiny")
    write_gguf(running.folder / "owner/tiny/sub/tiny.gguf")
    here = Policy.load(str(running.folder / model.replace(":", "/")), CPU, torch.float32)
    fetched = Policy.load(model, CPU, torch.float32)
    assert fetched.name == model
    torch.testing.assert_close(numbers(fetched), numbers(here))
    assert fetched.stop_token_ids == here.stop_token_ids
    running.fall_silent()
    torch.testing.assert_close(numbers(Policy.load(model, CPU, torch.float32)), numbers(here))


def test_what_the_hub_does_not_have_is_a_load_error(running: Hub) -> None:
    with pytest.raises(LoadError, match=r"^owner/tiny:a\.gguf: .*a\.gguf"):
        Policy.load("owner/tiny:a.gguf", CPU, torch.float32)
    with pytest.raises(LoadError, match=r"^no spaces/tiny: "):
        Policy.load("no spaces/tiny", CPU, torch.float32)


@pytest.mark.parametrize("model", ["owner/tiny", "owner/tiny:a.gguf"])
def test_a_hub_that_refuses_connections_is_one_line(running: Hub, model: str) -> None:
    running.fall_silent()
    with pytest.raises(LoadError) as caught:
        Policy.load(model, CPU, torch.float32)
    start = f"owner/tiny: no such folder, and {running.url} does not answer: "
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith("; nothing was downloaded from there before")
    assert "\n" not in str(caught.value)


def test_a_hub_that_says_nothing_is_not_waited_for(running: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PATIENCE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        become(f"http://127.0.0.1:{mute.getsockname()[1]}", monkeypatch)
        with pytest.raises(LoadError, match=r"does not answer: .*; nothing was downloaded from there before$"):
            Policy.load("owner/tiny", CPU, torch.float32)
