from __future__ import annotations

from rich.text import Text

from server.cli.banner import banner
from server.settings import load_settings
from tests.server.fake_engine import FakeEngine

INFO = FakeEngine().info


def test_it_can_be_pasted() -> None:
    text = banner(load_settings(port=8123, api_key="k"), INFO, ["cheerful", "concise"])
    assert "http://127.0.0.1:8123/v1/chat/completions" in text
    assert '"objective_weights": {"cheerful": 1}' in text
    assert "KV cache: 4,096 tokens, 3 MiB once all are used" in text
    assert "$MAVIS_API_KEY" in text
    assert "float32 (dtype=auto)" in text
    narrow = banner(load_settings(dtype="float32", quantization="int4"), INFO, [])
    assert "float32, weights of int4[" in narrow


def test_it_says_how_the_model_writes_calls_and_reasoning() -> None:
    told = "tool calls: mistral (the chat template has [TOOL_CALLS]); reasoning: none"
    assert told in Text.from_markup(banner(load_settings(), INFO, [], told)).plain


def test_it_names_the_playground() -> None:
    assert "http://127.0.0.1:8000/[" in banner(load_settings(), INFO, [])
    assert "browser" not in banner(load_settings(playground=False), INFO, [])
