"""An address that cannot be listened on ends the server before it starts to load a model."""

from __future__ import annotations

import socket

import pytest

from server.serving import server_for
from server.settings import load_settings
from tests.server.fake_engine import FakeEngine, FakeTokenizer


def test_nothing_is_loaded_behind_a_port_that_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    loading: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = load_settings(port=port, database="sqlite://")
        server = server_for(settings, FakeEngine(), FakeTokenizer, lambda: loading.append("model"))
        with pytest.raises(SystemExit) as ended:
            server.run()
    assert (ended.value.code, loading) == (3, [])
    assert f"--host=127.0.0.1, --port={port}: cannot listen there" in caplog.text
