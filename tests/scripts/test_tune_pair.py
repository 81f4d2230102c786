"""A pair from a tiny policy whose good answers are those of one token: the log-ratio finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import save_file

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from scripts.shipped.tune_pair import answer_logprobs, main, ranking_accuracy
from tests.models import byte_tokenizer, tiny_model
from value_models.folders import load_value
from value_models.value_config import ValueConfig

GOOD = ord("y")


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """The policy's folder and its rollouts: 240 answers of 6 tokens, the reward is the share of "y"."""
    model = tiny_model("llama")
    tokenizer = byte_tokenizer()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    generator = torch.Generator().manual_seed(0)
    answers = torch.randint(97, 117, (240, 6), generator=generator)
    share = torch.rand(240, 1, generator=generator)
    answers = torch.where(torch.rand(240, 6, generator=generator) < share, GOOD, answers)
    tokens = torch.cat((torch.full((240, 3), ord(":")), answers), dim=1)
    arrays = {
        "tokens": tokens.flatten().int(),
        "lengths": torch.full((240,), 9),
        "prompt_lengths": torch.full((240,), 3),
        "rewards": torch.stack((torch.zeros(240), (answers == GOOD).float().mean(1)), dim=1),
    }
    save_file(arrays, tmp_path / "rollouts.safetensors", metadata={"objectives": json.dumps(["none", "yes"])})
    return {"model": tmp_path / "policy", "rollouts": tmp_path / "rollouts.safetensors", "out": tmp_path / "value"}


def test_the_pair_steers_towards_what_was_good(made: dict[str, Any]) -> None:
    main(**made, objective="yes", epochs=20, lr=3e-3)
    config = ValueConfig.load(made["out"])
    assert config.training["loss_of_good_after"] < config.training["loss_of_good_before"] - 0.5
    assert config.training["ranking_accuracy"] > 0.9
    (objective,) = config.objectives
    assert objective.name == "yes-implicit"
    assert objective.reward_std > 0
    policy = Policy.load(str(made["model"]), torch.device("cpu"), torch.float32)
    engine = Engine(policy, [load_value(made["out"], policy)], EngineConfig())
    prompts = [[ord(":")] * 3] * 12
    samplings = [SamplingParams(max_tokens=6, seed=i, ignore_eos=True) for i in range(12)]

    def yes(guidance: Guidance) -> int:
        found = generate(engine, prompts, samplings, guidance)
        return sum(choice.token_ids.count(GOOD) for (choice,) in found)

    assert yes(Guidance({"yes-implicit": 1.0}, beta=8.0, top_k=200)) > yes(Guidance()) + 10


def test_only_answers_count_and_padding_does_not() -> None:
    model = tiny_model("llama")
    sequences = [torch.tensor([3, 5, 7, 11, 13]), torch.tensor([3, 5, 7])]
    with torch.inference_mode():
        logprobs, mask = answer_logprobs(model, sequences, torch.tensor([2, 1]))
        alone, _ = answer_logprobs(model, sequences[1:], torch.tensor([1]))
        expected = model(input_ids=sequences[0][None]).logits[0].log_softmax(-1)
    assert mask.tolist() == [[False, True, True, True], [True, True, False, False]]
    torch.testing.assert_close(logprobs[1, :2], alone[0])
    for at in range(1, 5):
        assert float(logprobs[0, at - 1]) == pytest.approx(float(expected[at - 1, sequences[0][at]]), abs=1e-4)


def test_ranking_accuracy_is_a_share_of_pairs() -> None:
    scores, good = torch.tensor([3.0, 1.0, 2.0, 1.0]), torch.tensor([True, True, False, False])
    assert ranking_accuracy(scores, good) == pytest.approx((1 + 1 + 0 + 0.5) / 4)


@pytest.mark.parametrize(("objective", "message"), [("maybe", "the rollouts have none, yes"), ("none", "highest")])
def test_what_cannot_be_tuned_on_is_said_at_once(made: dict[str, Any], objective: str, message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        main(**made, objective=objective)
