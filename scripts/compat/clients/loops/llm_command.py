"""The command and library ``llm``: a conversation of three turns with a tool, with a schema, and from the shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from checks import MODEL, QUESTIONS, URL, check, run

HOME = Path.cwd() / "llm"
HOME.mkdir(exist_ok=True)
os.environ["LLM_USER_PATH"] = str(HOME)
ENTRY = f"""
- model_id: ours
  model_name: {MODEL}
  api_base: {URL}/v1
  api_key_name: none
  supports_tools: true
  supports_schema: true
"""
(HOME / "extra-openai-models.yaml").write_text(ENTRY, encoding="utf-8")

import llm  # noqa: E402  # it reads its folder from the variable


def set_mood(happy: bool) -> str:
    """Set the mood."""
    return "done"


def conversation() -> Any:
    return llm.get_model("ours").conversation()


@check("tools, three turns")
def tools() -> None:
    talk = conversation()
    for question in QUESTIONS:
        made = talk.chain(question, tools=[set_mood], options={"max_tokens": 60}, key="none")
        made.text()
    assert len(talk.responses) >= 3


@check("a schema, three turns")
def schema() -> None:
    asked = {"type": "object", "properties": {"happy": {"type": "boolean"}}, "required": ["happy"]}
    talk = conversation()
    for question in QUESTIONS:
        assert isinstance(json.loads(talk.prompt(question, schema=asked, key="none").text())["happy"], bool)


@check("the command, continued twice")
def command() -> None:
    ask = [sys.executable, "-m", "llm", "prompt", "-m", "ours", "--key", "none", "-o", "max_tokens", "12"]
    for i, question in enumerate(QUESTIONS):
        more = ["-c"] if i else []
        done = subprocess.run([*ask, *more, question], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


run()
