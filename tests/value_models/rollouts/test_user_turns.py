"""Prompts that the policy writes itself: from its template, repeatable, resumed where a kill left them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RunError
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from tests.models import byte_tokenizer, tiny_config
from value_models.prompts import read_prompts
from value_models.rollouts import user_turns
from value_models.rollouts.question_filter import QuestionFilter
from value_models.rollouts.user_turns import FromPolicy, sample_user_turns, user_turn

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}<eos>{% endfor %}[assistant]"
WANTED = 30


def engine(template: str | None = TEMPLATE) -> Engine:
    """Of a random Llama over bytes."""
    torch.manual_seed(0)
    config = tiny_config("llama")
    config.vocab_size, config.eos_token_id = 257, 256
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    model = LlamaForCausalLM(config).eval()
    model.lm_head.weight.data[256] *= 4  # it ends a text more often than once in 257 tokens
    return Engine(Policy(model, tokenizer, "tiny"), [], EngineConfig(max_num_seqs=64))


@pytest.fixture
def easy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random bytes pass where they are two letters or more, all different; few tokens, small batches."""

    def judge(self: QuestionFilter, text: str | None) -> str | None:
        why = "not ended" if text is None else "there already" if text in self.kept else None
        if why is None and text is not None:
            self.kept.append(text)
        return why

    monkeypatch.setattr(QuestionFilter, "judge", judge)
    monkeypatch.setattr(user_turns, "LONGEST", 30)
    monkeypatch.setattr(user_turns, "BATCH", 16)


def sample(folder: Path, seed: int = 3, wanted: int = WANTED) -> int:
    return sample_user_turns(engine(), wanted, seed, folder / "prompts.jsonl", progress=False)


def test_the_template_says_where_the_user_speaks() -> None:
    found = user_turn(engine())
    assert (found.before, found.end) == ("[user]", "<eos>[assistant]")


@pytest.mark.parametrize("template", [None, "{{ messages[0]['role'] }}", "{{ messages[0]['content'] }}"])
def test_templates_that_do_not_do(template: str | None) -> None:
    with pytest.raises(RunError, match=r"prompts\.from_policy: the policy's chat template"):
        user_turn(engine(template))


def test_as_many_as_wanted_all_different_the_same_from_the_same_seed(easy: None, tmp_path: Path) -> None:
    drawn = sample(tmp_path / "one")
    assert drawn % 16 == 0 and drawn >= WANTED
    found = read_prompts(tmp_path / "one" / "prompts.jsonl")
    assert len({prompt.text for prompt in found}) == WANTED
    assert all(prompt.messages[0]["role"] == "user" for prompt in found)
    assert not any("<eos>" in prompt.text for prompt in found)
    sample(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    sample(tmp_path / "other", seed=4)
    assert contents(tmp_path / "one")["prompts.jsonl"] != contents(tmp_path / "other")["prompts.jsonl"]
    assert sample(tmp_path / "one") == 0, "what is there stays"
    with pytest.raises(RunError, match=r"begun with other settings .*from_policy: 30 there, 31 now"):
        sample(tmp_path / "one", wanted=31)


def test_stopped_after_a_batch_it_goes_on_to_the_same_prompts(
    easy: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample(tmp_path / "whole")
    calls: list[int] = []

    def stopped(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return generate(*args)

    with monkeypatch.context() as patched:
        patched.setattr(user_turns, "generate", stopped)
        with pytest.raises(KeyboardInterrupt):
            sample(tmp_path / "part")
    assert not (tmp_path / "part" / "prompts.jsonl").exists()
    left = sample(tmp_path / "part")
    assert left == json.loads((tmp_path / "whole" / "prompts.candidates.json").read_text())["drawn"] - 16
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    shutil.rmtree(tmp_path / "part")


def test_a_policy_that_writes_none_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_turns, "LONGEST", 4)
    monkeypatch.setattr(user_turns, "BATCH", 16)
    with pytest.raises(RunError, match=r"0 of 64 candidates pass \(\d+ not ended"):
        sample(tmp_path, wanted=2)
    with pytest.raises(RunError, match="at least 2"):
        FromPolicy(1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
