"""What is stored outlives the process that stored it, even one that is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from scripts.served import free_port
from server import serving
from server.settings import load_settings
from tests.forked import Forked
from tests.server.conftest import USER
from tests.server.fake_engine import FakeEngine, FakeTokenizer


def serve(port: int, address: str) -> None:
    settings = load_settings(port=port, database=address, admin_api_key="admin-key-0123456789")
    serving.server_for(settings, FakeEngine(), FakeTokenizer, lambda: None).run()


@contextmanager
def server(address: str) -> Iterator[httpx.Client]:
    port = free_port()
    process = Forked(serve, port, address)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        deadline = time.monotonic() + 180
        while True:
            try:
                client.get("/health")
                break
            except httpx.ConnectError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
        yield client
        process.kill()
        process.wait(30)


def test_a_killed_server_forgets_nothing(address: str) -> None:
    users = [f"user-{i}" for i in range(40)]
    with server(address) as client:
        for i, user in enumerate(users):
            weights = {"objective_weights": {"cheerful": i / 13}}
            assert client.put(f"/v1/preferences/{user}", json=weights).status_code == 200
        admin = {"authorization": "Bearer admin-key-0123456789"}
        assert client.put("/v1/presets/p", json={"objective_weights": {"concise": 1}}, headers=admin).is_success
    with server(address) as client:
        for i, user in enumerate(users):
            body = {"messages": USER, "user": user, "max_tokens": 1}
            guidance = client.post("/v1/chat/completions", json=body).json()["choices"][0]["guidance"]
            assert (guidance["source"], guidance["weights"]) == ("preference", {"cheerful": i / 13})
        assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["fake/model", "fake/model:p"]
