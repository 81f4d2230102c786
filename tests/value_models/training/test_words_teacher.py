"""Instructions teach what objectives in words say while decoding; a student of them is served like any value."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RunError
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from server.cli.app import app
from tests.models import save_byte_llama
from tests.value_models.rewards.test_words import POLICY, PROMPTS, TEMPLATE
from value_models.loading import build_engine
from value_models.rollouts.grow import grow
from value_models.rollouts.packing import PackedTree, collate
from value_models.rollouts.shape import Shape
from value_models.training.teaching import Queries, teach_tree
from value_models.training.told_beta import MOST
from value_models.training.words_teacher import Instructions
from value_models.value_config import ValueConfig

WORDS = {"cheerful": "Be cheerful.", "grim": "Be very grim."}


def text_after_prompt(tree: PackedTree, token: int) -> list[int]:
    """Tokens of a packed tree from below the prompt up to and including one."""
    found: list[int] = []
    while int(tree.node[token]):
        found.append(int(tree.ids[token]))
        token = int(tree.previous[token])
    return found[::-1]


def test_the_log_ratio_of_every_drawn_token_and_candidate() -> None:
    assert POLICY.tokenizer is not None
    asked = PROMPTS[:2]
    prompts = [(i, prompt.encode(POLICY.tokenizer)) for i, prompt in enumerate(asked)]
    engine = Engine(POLICY, [], EngineConfig(max_num_seqs=8))
    forest = grow(engine, prompts, Shape(layers=2, root_children=2, max_tokens=12), Guidance(), 0, seed=4)
    trees = [forest.tree(root) for root in forest.roots.tolist()]
    teacher = Instructions(WORDS, asked).teacher(POLICY, trees)
    packed, ends = teach_tree(POLICY, [teacher], trees[1], 1, Queries(3, 4, 9), np.random.default_rng(0))
    assert packed.drawn.targets.shape == (trees[1].sampled + 3 * 4, 2)

    def logprob(prompt: str, text: list[int]) -> float:
        assert POLICY.tokenizer is not None
        with torch.inference_mode():
            hidden = POLICY.backbone.forward_plain(torch.tensor([*POLICY.tokenizer.encode(prompt), *text[:-1]]))
            return float(POLICY.logits(hidden[-1:]).log_softmax(dim=1)[0, text[-1]])

    plain = f"[user]{asked[1].text}<eos>[assistant]"
    for i in range(0, len(packed.drawn.at), 5):
        text = text_after_prompt(packed, int(packed.drawn.at[i]))
        expected = [logprob(f"[system]{words}<eos>{plain}", text) - logprob(plain, text) for words in WORDS.values()]
        assert packed.drawn.targets[i].tolist() == pytest.approx(expected, abs=1e-4)
    assert ends[1:].tolist() == packed.ends.targets.tolist()
    batch = collate([packed], True, POLICY.device)
    torch.testing.assert_close(teacher(batch), batch.targets, atol=1e-4, rtol=1e-4)


def test_what_has_no_room_is_refused() -> None:
    assert POLICY.tokenizer is not None
    prompts = [(0, PROMPTS[0].encode(POLICY.tokenizer))]
    engine = Engine(POLICY, [], EngineConfig(max_num_seqs=8))
    forest = grow(engine, prompts, Shape(kind="flat", samples=1, max_tokens=20), Guidance(), 0, seed=4)
    with pytest.raises(RunError, match=r"words: prompt 'hi', an instruction and a response are \d+ tokens, more than"):
        Instructions({"long": "so " * 40}, PROMPTS[:1]).teacher(POLICY, [forest])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy over bytes that takes instructions, and rollouts of it beside their prompts."""
    tmp_path = tmp_path_factory.mktemp("made")
    save_byte_llama(tmp_path / "policy")
    file = tmp_path / "policy" / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": TEMPLATE}))
    lines = [json.dumps({"messages": [{"role": "user", "content": f"say {i}"}]}) + "\n" for i in range(24)]
    (tmp_path / "prompts.jsonl").write_text("".join(lines))
    settings = {
        "folder": ".",
        "prompts": "prompts.jsonl",
        "policy": "policy",
        "rewards": {"concise": None},
        "rollouts": {"shape": {"kind": "flat", "samples": 8, "max_tokens": 8}},
    }
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(settings))
    assert CliRunner().invoke(app, ["rollouts", str(tmp_path / "fit.yaml")]).exit_code == 0
    return tmp_path


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy, to distil in."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def distil(run: Path, **changes: Any) -> Any:
    settings = {
        "folder": "out",
        "policy": "policy",
        "rollouts": "rollouts",
        "words": WORDS,
        "train": {"epochs": 8, "learning_rate": 0.01, "held_out": 0.25, "beta_prompts": 2, "batch_trees": 2},
    }
    (run / "d.yaml").write_text(yaml.safe_dump({**settings, **changes}))
    return CliRunner().invoke(app, ["distill", str(run / "d.yaml")])


def test_a_head_of_nothing_but_sentences(run: Path) -> None:
    result = distil(run)
    assert result.exit_code == 0, result.output
    config = ValueConfig.load(run / "out" / "value")
    assert [(o.name, o.description) for o in config.objectives] == [
        ("cheerful", "Be cheerful."),
        ("grim", "Be very grim."),
    ]
    assert all(0.8 < o.recommended_beta <= MOST and o.weight_range == (-4, 4) for o in config.objectives)
    assert config.training["explained"].keys() == WORDS.keys()
    assert config.training["words"] == WORDS
    measured = config.training["held_out"]
    assert all(m["mse"] < m["mse_constant"] and m["ranking"] > 0.6 for m in measured.values()), measured
    assert build_engine(str(run / "policy"), [str(run / "out" / "value")], EngineConfig()).info.objectives
    again = distil(run)
    assert again.exit_code == 0 and "is there already" in again.output
    other = distil(run, words={"cheerful": "Be glad."})
    assert other.exit_code == 1 and "words" in other.output


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"words": {}}, "teachers: at least one is needed, or words"),
        ({"words": {"cheerful": " "}}, "words.cheerful: must say something"),
        ({"words": {}, "teachers": ["x"], "prompts": "prompts.jsonl"}, "prompts: are read where words are taught"),
        ({"prompts": "absent.jsonl"}, "absent.jsonl: no such file; words go into the prompts"),
        ({"prompts": "d.yaml"}, "d.yaml: is not what was rolled out"),
    ],
)
def test_mistakes_are_named(run: Path, changes: dict[str, Any], told: str) -> None:
    result = distil(run, **changes)
    assert result.exit_code == 1
    assert told in result.output
