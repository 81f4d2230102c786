"""LiteLLM's proxy in front of the server, by each provider that speaks to such servers."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from checks import MODEL, URL

KEY = "sk-none"
PROVIDERS = {"openai": f"{URL}/v1", "hosted_vllm": f"{URL}/v1", "anthropic": URL}
START_SECONDS = 240


@contextmanager
def proxy() -> Iterator[str]:
    """Its URL; models are called like their providers."""
    models = [
        {"model_name": name, "litellm_params": {"model": f"{name}/{MODEL}", "api_base": base, "api_key": "none"}}
        for name, base in PROVIDERS.items()
    ]
    settings = {"num_retries": 0, "telemetry": False}
    config = Path.cwd() / "proxy.json"  # JSON is YAML
    told = {"model_list": models, "litellm_settings": settings, "general_settings": {"master_key": KEY}}
    config.with_suffix(".yaml").write_text(json.dumps(told), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["litellm", "--config", str(config.with_suffix(".yaml")), "--host", "127.0.0.1", "--port", str(port)]
    with (Path.cwd() / "proxy.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health/liveliness", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError("LiteLLM's proxy did not start")
