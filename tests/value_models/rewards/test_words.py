"""An instruction as a reward: what the policy's own log-probabilities say of a whole response, per token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RewardError
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from tests.models import byte_tokenizer, tiny_config
from value_models.prompts import Prompt
from value_models.rewards import words
from value_models.rewards.registry import RewardConfig, build
from value_models.rewards.words import Reader, Words
from value_models.rollouts import reading
from value_models.rollouts.forest import LENGTH, STOP
from value_models.rollouts.grow import grow
from value_models.rollouts.shape import Shape

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}<eos>{% endfor %}[assistant]"
PROMPTS = [Prompt.chat([{"role": "user", "content": text}]) for text in ("hi", "how are you", "so", "hi")]
RESPONSES = ["fine", "a rather longer answer", "", "x"]


def policy(template: str | None = TEMPLATE) -> Policy:
    torch.manual_seed(0)
    config = tiny_config("llama")
    config.vocab_size, config.eos_token_id = 257, 256
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return Policy(LlamaForCausalLM(config).eval(), tokenizer, "tiny")


POLICY = policy()
CONFIGS = {"cheerful": RewardConfig(words="Be cheerful."), "grim": RewardConfig(words="Be grim.")}


def logprob(prompt: str, response: str) -> float:
    found: float = of_tokens(prompt, list(response.encode()))
    return found


@torch.inference_mode()
def of_tokens(prompt: str, response: list[int]) -> float:
    """Token by token, one text alone."""
    assert POLICY.tokenizer is not None
    before = POLICY.tokenizer.encode(prompt)
    ids = torch.tensor([*before, *response])
    logits = POLICY.logits(POLICY.backbone.forward_plain(ids)).log_softmax(dim=1)
    return sum(float(logits[i - 1, ids[i]]) for i in range(len(before), len(ids)))


def test_the_log_ratio_per_token_of_the_whole_response(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "PADDED_TOKENS", 120)  # several batches
    monkeypatch.setattr(reading, "POSITIONS", 5)
    cheerful, grim = build(CONFIGS, tmp_path, lambda: POLICY)
    found = cheerful.score(PROMPTS, RESPONSES)
    for prompt, response, score in zip(PROMPTS, RESPONSES, found, strict=True):
        plain = f"[user]{prompt.text}<eos>[assistant]"
        told = "[system]Be cheerful.<eos>" + plain
        expected = (logprob(told, response) - logprob(plain, response)) / max(1, len(response))
        assert score == pytest.approx(expected, abs=1e-4)
    assert found[2] == 0 and abs(found[0]) > 0.01
    assert grim.score(PROMPTS, RESPONSES) != pytest.approx(found, abs=1e-3)
    assert cheerful.description == "Be cheerful."


def test_what_is_read_without_an_instruction_is_read_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real: Any = Reader.read

    def counted(self: Reader, texts: list[tuple[list[int], list[int]]]) -> list[float]:
        read.append(len(texts))
        found: list[float] = real(self, texts)
        return found

    monkeypatch.setattr(Reader, "read", counted)
    for reward in build(CONFIGS, Path("unused"), lambda: POLICY):
        reward.score(PROMPTS, RESPONSES)
    assert read == [4, 4, 4], "two with their words, one without"


def test_what_cannot_carry_words_is_refused(tmp_path: Path) -> None:
    (reward,) = build({"kind": CONFIGS["cheerful"]}, tmp_path, lambda: POLICY)
    assert isinstance(reward.reward, Words)
    with pytest.raises(RewardError, match="reward 'kind': words: prompt 'say': is a plain text"):
        reward.score([Prompt("say")], ["x"])
    with pytest.raises(RewardError, match=r"words: a prompt of \d+ tokens .* are more than the policy's 128"):
        reward.reward.check(PROMPTS, 100)
    reward.reward.check(PROMPTS, 20)
    (bare,) = build({"kind": CONFIGS["cheerful"]}, tmp_path, lambda: policy(None))
    with pytest.raises(RewardError, match="no chat template that takes an instruction"):
        bare.score(PROMPTS, RESPONSES)
    with pytest.raises(RewardError, match="words and function: at most one"):
        build({"kind": RewardConfig(words="x", function="a:b")}, tmp_path, lambda: POLICY)
    with pytest.raises(RewardError, match="words: are the policy's"):
        build({"kind": CONFIGS["cheerful"]}, tmp_path)
    with pytest.raises(RewardError, match="words='  ': must say something"):
        build({"kind": RewardConfig(words="  ")}, tmp_path, lambda: POLICY)


def test_trees_are_read_at_once_and_with_their_ends(tmp_path: Path) -> None:
    """As texts one by one, but for the stop token, which counts as a token too, and less the mean of the prompt."""
    rewards = build(CONFIGS, tmp_path, lambda: POLICY)
    assert POLICY.tokenizer is not None
    asked = [PROMPTS[1], PROMPTS[0]]
    prompts = [(i, prompt.encode(POLICY.tokenizer)) for i, prompt in enumerate(asked)]
    engine = Engine(POLICY, [], EngineConfig(max_num_seqs=8))
    forest = grow(engine, prompts, Shape(kind="flat", samples=40, max_tokens=20), Guidance(), 0, seed=4)
    assert {STOP, LENGTH} <= set(forest.finish[forest.leaves].tolist())
    told: list[float] = []
    found = [reward.score_trees(asked, forest, told.append) for reward in rewards]
    assert sum(told) == pytest.approx(2)
    for instruction, scores in zip(("Be cheerful.", "Be grim."), found, strict=True):
        apart = []
        for leaf, score in list(zip(forest.leaves.tolist(), scores, strict=True))[::8]:
            plain = f"[user]{asked[forest.prompt[leaf]].text}<eos>[assistant]"
            with_words, ids = f"[system]{instruction}<eos>{plain}", forest.response(leaf)
            expected = (of_tokens(with_words, ids) - of_tokens(plain, ids)) / len(ids)
            apart.append((int(forest.prompt[leaf]), expected - score))
        for number in range(2):
            own = [each for prompt, each in apart if prompt == number]
            assert len(own) > 3 and own == pytest.approx([own[0]] * len(own), abs=1e-4)
            of_prompt = [s for leaf, s in zip(forest.leaves, scores, strict=True) if forest.prompt[leaf] == number]
            assert sum(of_prompt) == pytest.approx(0, abs=1e-6)
