"""Model folders as people have them, without values: each starts, chats or says why not, and completes text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from tests.architectures import SPECIAL, special_config
from tests.gguf_file import write_gguf
from tests.models import byte_tokenizer
from tests.server.real_engine import served

NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)
PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
LONG = "What a long question this is, longer than any window."
END, NEWLINE = 256, 10


def save(folder: Path, architecture: str, template: str | None, tied: bool) -> None:
    """In bfloat16, without a padding token, with two tokens that end an answer."""
    torch.manual_seed(0)
    config = special_config(architecture)
    config.vocab_size, config.eos_token_id, config.pad_token_id, config.bos_token_id = 257, END, None, None
    config.tie_word_embeddings = tied
    model = SPECIAL[architecture][1](config).to(torch.bfloat16)
    model.generation_config.eos_token_id = [END, NEWLINE]
    model.save_pretrained(folder)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)


async def chat(http: httpx.AsyncClient, *messages: tuple[str, str], **fields: Any) -> httpx.Response:
    asked = [{"role": role, "content": content} for role, content in messages]
    return await http.post("/v1/chat/completions", json={"messages": asked, "max_tokens": 12, "seed": 1, **fields})


@pytest.mark.parametrize(
    ("architecture", "template", "tied"),
    [("qwen3", PLAIN, True), ("gemma3", NO_SYSTEM, True), ("mistral", PLAIN, False), ("mistral", None, False)],
)
async def test_a_folder_is_served(tmp_path: Path, architecture: str, template: str | None, tied: bool) -> None:
    save(tmp_path, architecture, template, tied)
    saved = json.loads((tmp_path / "generation_config.json").read_text())
    assert saved["eos_token_id"] == [END, NEWLINE] and "pad_token_id" not in saved
    async with served(model=str(tmp_path)) as http:
        kinds = {objective["kind"] for objective in (await http.get("/v1/objectives")).json()["data"]}
        assert kinds == (set() if template is None else {"prompted"}), "words steer any model that can be told"
        completed = await http.post("/v1/completions", json={"prompt": LONG, "max_tokens": 12, "ignore_eos": True})
        assert completed.status_code == 200
        assert completed.json()["usage"] == {
            **completed.json()["usage"],
            "prompt_tokens": len(LONG),
            "completion_tokens": 12,
        }
        stopped = await http.post("/v1/completions", json={"prompt": "x", "logit_bias": {str(NEWLINE): 100}})
        assert stopped.json()["choices"][0]["finish_reason"] == "stop"
        answered = await chat(http, ("user", LONG))
        systematic = await chat(http, ("system", "Be brief."), ("user", LONG))
        own = {"objectives": {"pirate": "Talk like a pirate."}, "objective_weights": {"pirate": 2}}
        steered = await chat(http, ("user", "Hi."), **own)
    if template is None:
        assert steered.status_code == 400
        for refused in (answered, systematic):
            assert refused.status_code == 400
            assert refused.json()["error"]["message"] == "this model has no chat template: use /v1/completions"
        return
    assert answered.status_code == 200
    assert answered.json()["choices"][0]["message"]["role"] == "assistant"
    assert steered.json()["choices"][0]["guidance"]["kl_nats"] > 0
    if template == NO_SYSTEM:
        assert systematic.status_code == 400
        assert "System role not supported" in systematic.json()["error"]["message"]
    else:
        assert systematic.status_code == 200


async def test_a_gguf_file_is_served_in_few_bits(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    async with served(model=str(tmp_path / "tiny.gguf"), quantization="int4", dtype="float32") as http:
        answered = await chat(http, ("user", LONG))
        assert answered.status_code == 200
        assert (
            answered.json()["usage"]["prompt_tokens"] == len(LONG) - LONG.count("hi") + 3
        )  # one token, and the template's
