from __future__ import annotations

import io
import socket

import pytest
from rich.console import Console
from rich.text import Text

from server.cli.banner import banner
from server.cli.own_address import own_address
from server.settings import load_settings
from tests.server.fake_engine import FakeEngine

INFO = FakeEngine().info


def test_it_can_be_pasted() -> None:
    text = banner(load_settings(port=8123, api_key="k"), INFO, ["cheerful", "concise"], False)
    assert "http://127.0.0.1:8123/v1/chat/completions" in text
    assert '"objective_weights": {"cheerful": 1}' in text
    assert "KV cache: 4,096 tokens, 3 MiB once all are used" in text
    assert "$MAVIS_API_KEY" in text
    assert "float32 (dtype=auto)" in text
    narrow = banner(load_settings(dtype="float32", quantization="int4"), INFO, [], True)
    assert "float32, weights of int4[" in narrow


def test_it_says_how_the_model_writes_calls_and_reasoning() -> None:
    told = "tool calls: mistral (the chat template has [TOOL_CALLS]); reasoning: none"
    assert told in Text.from_markup(banner(load_settings(), INFO, [], True, told)).plain


def test_it_names_the_playground() -> None:
    assert "http://127.0.0.1:8000/[" in banner(load_settings(), INFO, [], True)
    assert "browser" not in banner(load_settings(playground=False), INFO, [], True)


def test_it_says_where_a_phone_opens_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(host: str) -> str:
        return Text.from_markup(banner(load_settings(host=host, api_key="k"), INFO, [], True)).plain

    ours = {socket.AF_INET: "192.0.2.5", socket.AF_INET6: "2001:db8::5"}
    monkeypatch.setattr("server.cli.banner.own_address", ours.get)
    assert "browser: http://127.0.0.1:8000/ and from other devices: http://192.0.2.5:8000/\n" in told("0.0.0.0")
    assert "browser: http://[::1]:8000/ and from other devices: http://[2001:db8::5]:8000/\n" in told("::")
    assert "other devices" not in told("127.0.0.1") + told("192.0.2.5")
    ours.clear()
    assert "other devices" not in told("0.0.0.0")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_this_machines_address_is_one_that_it_can_listen_on(family: socket.AddressFamily) -> None:
    address = own_address(family)
    if address is not None:
        socket.create_server((address, 0), family=family).close()


@pytest.mark.parametrize(
    ("names", "words", "said"),
    [
        (["cheerful", "[b]"], True, "cheerful, [b]; or what a request says in words"),
        (["cheerful"], False, "cheerful"),
        ([], True, "what a request says in words"),
        ([], False, "nothing: no values, and no chat template that takes an instruction"),
    ],
)
def test_it_says_what_there_is_to_steer_towards(names: list[str], words: bool, said: str) -> None:
    console = Console(file=io.StringIO(), width=300)
    console.print(banner(load_settings(), INFO, names, words), soft_wrap=True)
    assert f"steer towards: {said}\n" in console.file.getvalue()  # type: ignore[attr-defined]
