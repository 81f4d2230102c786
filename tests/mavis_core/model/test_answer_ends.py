from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mavis_core.model.answer_ends import end_of_turn
from mavis_core.model.policy import Policy
from tests.gguf_file import END, TEMPLATE, TOKENS, write_gguf
from tests.models import byte_tokenizer

TURN, CALL = len(TOKENS) - 2, 10
WRITES_TURN = TEMPLATE.replace("<|im_end|>", "<|im_start|>")  # the token TURN


@pytest.mark.parametrize(
    ("keys", "template", "ends"),
    [
        ({}, TEMPLATE, (END,)),
        ({"eot": TURN}, TEMPLATE, (END, TURN)),
        ({"eot": TURN, "eom": CALL}, None, (END, TURN, CALL)),
        ({}, WRITES_TURN, (END, TURN)),
        ({"eot": len(TOKENS)}, TEMPLATE, (END,)),
    ],
)
def test_ends_of_a_file(tmp_path: Path, keys: dict[str, int], template: str | None, ends: tuple[int, ...]) -> None:
    write_gguf(tmp_path / "tiny.gguf", keys, template)
    assert Policy.load(str(tmp_path / "tiny.gguf"), torch.device("cpu"), torch.float32).stop_token_ids == ends


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        ("{% for m in messages %}[{{ m.role }}]{{ m.content }}<eos>\n{% endfor %}", [256]),
        ("{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}\n<eos>{% endfor %}", [256]),
        ("{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}", []),
        ("{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}", []),  # no token of this vocabulary
        ("{{ raise_exception('no') }}", []),
        ("{{ messages[2].content.x }}", []),
        (None, []),
    ],
)
def test_what_a_template_writes_behind_an_answer(template: str | None, ends: list[int]) -> None:
    tokenizer: Any = byte_tokenizer()
    tokenizer.chat_template = template
    assert end_of_turn(tokenizer) == ends
