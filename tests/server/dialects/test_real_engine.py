"""With the real engine, on a vocabulary that has the marks as tokens: held to the form, shown, and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken
from transformers import LlamaForCausalLM

from tests.models import tiny_config
from tests.server.conftest import USER
from tests.server.real_engine import served
from tests.vocabularies import byte_tokenizer

pytest.importorskip("llguidance")
THINKS = "{% if add_generation_prompt %}<think>\n{% endif %}"
SHOWS = (
    "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}{% for m in messages %}{{ m.content }}\n{% endfor %}"
)
FORMS = {
    "hermes": ("<tool_call>{{ x }}</tool_call>", False),  # tags that are tokens, but not special ones
    "mistral": ("[TOOL_CALLS]{{ x }}[ARGS]", True),
    "llama3_json": ("<|python_tag|>{{ x }}", True),
}
PARAMETERS = {"type": "object", "properties": {"day": {"enum": ["now", "later"]}}, "required": ["day"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
MARKS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>")
END = 258  # </think>


@pytest.mark.parametrize("name", FORMS)
async def test_calls_behind_reasoning(tmp_path: Path, name: str) -> None:
    template, special = FORMS[name]
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([AddedToken(mark, special=special) for mark in MARKS], special_tokens=special)
    tokenizer.chat_template = SHOWS + "{% if false %}" + template + "{% endif %}" + THINKS
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = tiny_config("llama")
    config.vocab_size, config.eos_token_id, config.pad_token_id, config.max_position_embeddings = 264, 256, 256, 400
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    asked: dict[str, Any] = {"messages": USER, "tools": TOOLS, "tool_choice": "required", "seed": 3, "max_tokens": 300,
                             "parallel_tool_calls": False, "logit_bias": {str(END): 7}}  # fmt: skip
    async with served(model=str(tmp_path)) as http:
        answer = (await http.post("/v1/chat/completions", json=asked)).json()
        lines = (await http.post("/v1/chat/completions", json=asked | {"stream": True})).text.split("\n\n")
        structured = asked | {"tools": None, "tool_choice": None, "response_format": {"type": "json_object"}}
        structured |= {"logit_bias": {str(END): 7, "125": 9}}
        plain = (await http.post("/v1/chat/completions", json=structured)).json()
    choice = answer["choices"][0]
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls", choice
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"])["day"] in ("now", "later")
    assert message["content"] is None and "think>" not in message["reasoning"]
    assert 0 < answer["usage"]["completion_tokens_details"]["reasoning_tokens"] < 200
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines if line.startswith("data: {")]
    assert "".join(delta.get("reasoning", "") for delta in deltas) == message["reasoning"]
    calls = [delta["tool_calls"][0]["function"] for delta in deltas if "tool_calls" in delta]
    assert "".join(one["arguments"] for one in calls) == call["function"]["arguments"]
    assert "choices" in plain, plain
    said = plain["choices"][0]
    if said["finish_reason"] == "stop":
        assert isinstance(json.loads(said["message"]["content"]), dict)
    assert said["message"]["reasoning"]
