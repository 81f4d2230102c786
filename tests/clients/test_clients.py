"""Other projects' clients: streaming, tools, json_schema and each way in for weights, with the same expectations."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import INSTALLED, NODE, PYTHON, WEIGHTS, needs, run

PROGRAMS = Path("tests/clients/programs").absolute()
COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "openai_python": lambda url: [sys.executable, str(PROGRAMS / "openai_python.py"), url],
    "openai_node": lambda url: [needs(NODE), str(PROGRAMS / "openai_node.mjs"), url, str(INSTALLED)],
    "langchain": lambda url: [needs(PYTHON), str(PROGRAMS / "langchain_chat.py"), url],
    "litellm": lambda url: [needs(PYTHON), str(PROGRAMS / "litellm_completion.py"), url],
}


@pytest.fixture(scope="module", params=COMMANDS)
def found(request: pytest.FixtureRequest, url: str) -> Any:
    """What one client saw, by case."""
    return json.loads(run(COMMANDS[request.param](url)))


def test_streaming(found: Any) -> None:
    assert 2 <= len(found["stream"]) <= 4  # a token may end in half a character
    assert found["stream_guidance"]["source"] == "body"
    assert found["stream_guidance"]["weights"] == WEIGHTS
    assert found["stream_guidance"]["kl_nats"] > 0


@pytest.mark.parametrize("choice", ["required", "named", "streamed"])
def test_tools(found: Any, choice: str) -> None:
    assert found[choice]
    for name, arguments in found[choice]:
        assert name == "set_mood"
        assert arguments["mood"] in ("happy", "sad")


def test_an_answer_with_auto_tools_is_read(found: Any) -> None:
    assert isinstance(found["auto"], int)  # calls that the client found; a model this small may make none


def test_json_schema(found: Any) -> None:
    assert found["schema"].keys() == {"colour", "sure"}
    assert found["schema"]["colour"] in ("red", "blue")
    assert isinstance(found["schema"]["sure"], bool)


@pytest.mark.parametrize("source", ["body", "header", "preset", "preference"])
def test_weights(found: Any, source: str) -> None:
    assert found[source]["source"] == source
    assert found[source]["weights"] == WEIGHTS
    assert found[source]["steering_nats"] > 0
