"""HTTPS as ``mavis serve`` makes it, with certificates made here."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mavis_core.api.errors import ConfigError
from server.cli.banner import base_url
from server.serving import server_for
from server.settings import load_settings
from tests.server.fake_engine import FakeEngine, FakeTokenizer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*made, "-keyout", key, "-out", cert, *name], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def serve_tls(certificate: tuple[Path, Path]) -> Iterator[Callable[..., str]]:
    stops: list[Callable[[], None]] = []

    def start(**more: Any) -> str:
        cert, key = certificate
        settings = load_settings(port=0, database="sqlite://", ssl_certfile=cert, ssl_keyfile=key, **more)
        server = server_for(settings, FakeEngine(), FakeTokenizer, lambda: None)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)

        def stop() -> None:
            server.should_exit = True
            thread.join(10)

        stops.append(stop)
        port = server.servers[0].sockets[0].getsockname()[1]
        assert base_url(settings).startswith("https://")
        return f"https://127.0.0.1:{port}"

    yield start
    for stop in stops:
        stop()


def test_https(serve_tls: Callable[..., str], certificate: tuple[Path, Path]) -> None:
    url = serve_tls()
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    assert httpx.get(url + "/health", verify=trusting).status_code == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(url + "/health")


def test_client_certificates(serve_tls: Callable[..., str], certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    url = serve_tls(ssl_ca_certs=cert)
    context = ssl.create_default_context(cafile=str(cert))
    with pytest.raises(httpx.HTTPError):
        httpx.get(url + "/health", verify=context)
    context.load_cert_chain(cert, key)
    assert httpx.get(url + "/health", verify=context).status_code == 200


def test_wrong_files_stop_the_server(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = certificate
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    for settings, says in (
        ({"ssl_certfile": tmp_path / "missing.pem"}, "missing.pem"),
        ({"ssl_certfile": wrong, "ssl_keyfile": key}, "wrong.pem"),
        ({"ssl_certfile": cert}, "certificate and key in one file"),
        ({"ssl_certfile": cert, "ssl_keyfile": key, "ssl_ca_certs": wrong}, "ssl_ca_certs"),
        ({"ssl_keyfile": key}, "need --ssl-certfile"),
        ({"ssl_ca_certs": cert}, "need --ssl-certfile"),
    ):
        with pytest.raises(ConfigError, match=says):
            load_settings(**settings)
