"""A researcher with two reward functions of their own, prompts, and no interest in how training works."""

from __future__ import annotations

import shutil

from scripts.first_runs.newcomer import Newcomer

REWARDS = '''
def exclaiming(prompts, responses):
    """How often it exclaims, up to three times."""
    return [float(min(3, text.count("!"))) for text in responses]


def short_words(prompts, responses):
    """Minus the mean length of its words."""
    return [-sum(map(len, text.split())) / max(1, len(text.split())) for text in responses]
'''
RUN = """
folder: run
prompts: prompts.jsonl
rewards:
  exclaiming: {function: "my_rewards:exclaiming"}
  short words: {function: "my_rewards:short_words"}
engine: {max_num_seqs: 64}
rollouts:
  shape: {layers: 3, max_tokens: 32}
train: {kind: head, epochs: 4, held_out: 0.2, beta_prompts: 8}
"""
KEYS = ("`engine.*`", "`rollouts.shape.layers`", "`rollouts.shape.max_tokens`", "`train.epochs`", "`train.held_out`")
PROMPTS = "examples/train/prompts.jsonl"


def run(newcomer: Newcomer) -> None:
    page, checkout = newcomer.page("docs/training.md"), newcomer.environment.checkout
    page.says("**A function** `module:name`", *KEYS)
    newcomer.installs(page.installation("train"), checkout)
    study = newcomer.home / "my study"
    study.mkdir()
    (study / "my_rewards.py").write_text(REWARDS, encoding="utf-8")
    (study / "fit.yaml").write_text(RUN, encoding="utf-8")
    shutil.copy(checkout / PROMPTS, study)
    training = page.command("^mavis fit ").replace("examples/train/fit.yaml", "'my study/fit.yaml'")
    last = newcomer.types(training, newcomer.home).splitlines()[-1]
    newcomer.expects(last.startswith("mavis serve "), training, f"the last line is {last!r}")
    with newcomer.serves(last, newcomer.home) as said:
        newcomer.expects("exclaiming, short words" in said, last, said)
        choice = newcomer.pastes(said, newcomer.home)
        newcomer.expects("exclaiming" in choice["guidance"]["values"], last, f"steered by {choice['guidance']}")
        newcomer.succeeds(
            f"the pasted lines: {choice['message']['content']!r}, {choice['guidance']['kl_nats']:.1f} nats"
        )
