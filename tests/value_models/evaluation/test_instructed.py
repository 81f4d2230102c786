"""Arms of words: told in so many words and charged for it, against plain forwards; and steered by the same words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RunError
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from tests.models import HIDDEN, RANK, WIDTH
from tests.value_models.configs import value_config
from tests.value_models.evaluation.test_evaluate import folder, plain, write  # noqa: F401
from value_models.evaluation.arms import build_arm
from value_models.evaluation.config import load_config
from value_models.evaluation.evaluate import Evaluation
from value_models.evaluation.findings import find
from value_models.evaluation.instructed import answer_instructed, price
from value_models.evaluation.points import Point
from value_models.evaluation.report import page
from value_models.evaluation.sampling import read, sampling_params
from value_models.kinds.head import save_head
from value_models.kinds.head_network import HeadNetwork

WORDS = {"low": "Be low.", "short": "Be short."}
TEMPLATE = "{% for m in messages %}{{ m['role'][0] + m['content'] + '|' }}{% endfor %}"
TOLD, PLAIN = [65, 66, 67], [70]


@pytest.fixture
def chats(folder: Path) -> Path:  # noqa: F811
    """Conversations, and a policy with a template for them."""
    settings = json.loads((folder / "policy" / "tokenizer_config.json").read_text())
    (folder / "policy" / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": TEMPLATE}))
    asked = [[{"role": "user", "content": f"say {i}"}] for i in range(4)]
    asked.append([{"role": "system", "content": "Here."}, {"role": "user", "content": "say 4"}])
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"messages": each}) + "\n" for each in asked))
    return folder


def load(folder: Path) -> Policy:  # noqa: F811
    return Policy.load(str(folder / "policy"), torch.device("cpu"), torch.float32)


def next_logits(policy: Policy, text: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return policy.logits(policy.backbone.forward_plain(torch.tensor(text)))[-1]


def told(here: Path, **changes: Any) -> Evaluation:
    arms = {"told": {"instructions": WORDS}}
    path = write(here, **{"arms": arms, "shares": [0, 0.2, 0.5, 1], "claims": [], **changes}) / "e.yaml"
    return Evaluation(load_config(path), progress=False, say=lambda line: None)


def test_weights_only_choose_what_is_said_and_all_in_between_are_one_sample(chats: Path) -> None:
    made = told(chats)
    made.sample()
    made.score()
    arm, out = made.arms["told"], chats / "out" / "answers" / "told"
    said = {point.share: arm.instruction(point) for point in arm.points}
    assert said == {0: "Be short.", 0.2: "Be low. Be short.", 0.5: "Be low. Be short.", 1: "Be low."}
    shares = [plain(out / f"share-{share:g}-told.jsonl") for share in (0, 0.2, 0.5, 1)]
    assert shares[1] == shares[2] and shares[0] != shares[1] != shares[3]
    table = made.tabulate()
    assert table.arms == ["told"] and (table.steering[1:] > 0).all()
    shown = page(table, find(table, made.config), made.config)
    assert "| hypervolume | told | 4 |" in shown and "| told | told |" in shown
    kept = {path: path.read_bytes() for path in out.iterdir()}
    (out / "share-0.5-told.jsonl").unlink()
    told(chats).sample()
    assert plain(out / "share-0.5-told.jsonl") == shares[2]
    assert all(path.read_bytes() == kept[path] for path in out.iterdir() if path.stem != "share-0.5-told")


@pytest.mark.parametrize("top_k", [3, 40, 256], ids="{}-candidates".format)
def test_the_price_is_the_exact_kl_of_what_it_draws_from(folder: Path, top_k: int) -> None:  # noqa: F811
    """Position by position: KL of the k likeliest tokens under the instruction to the whole policy without it."""
    policy, output = load(folder), [100, 101, 200, 256]
    full, truncation, nll = 0.0, 0.0, 0.0
    for i, token in enumerate(output):
        p, ref = (next_logits(policy, [*prompt, *output[:i]]) for prompt in (TOLD, PLAIN))
        if i == 0:
            p[256] = ref[256] = -torch.inf
        p, ref = p.softmax(0).double(), ref.softmax(0).double()
        kept = p.topk(min(top_k, 256)).indices
        own = p[kept] / p[kept].sum()
        nonzero = own > 0
        full += float((own * (own / ref[kept]).log())[nonzero].sum())
        truncation -= float(ref.topk(top_k).values.sum().log())
        nll -= float(ref[token].log())
    paid = price(policy, TOLD, PLAIN, output, top_k)
    assert paid.steering_nats + paid.truncation_nats == pytest.approx(full, abs=1e-4)
    assert paid.truncation_nats == pytest.approx(truncation, abs=1e-4)
    assert paid.base_nll == pytest.approx(nll, abs=1e-4)
    assert paid.steering_nats > 0


def test_an_instruction_that_changes_nothing_costs_nothing(folder: Path) -> None:  # noqa: F811
    paid = price(load(folder), PLAIN, PLAIN, [100, 101, 256], 5)
    assert paid.steering_nats == pytest.approx(0, abs=1e-4) and paid.truncation_nats > 1


def test_it_answers_the_instructed_prompt_plainly(folder: Path) -> None:  # noqa: F811
    """The answers are those that the engine gives to the prompt with the instruction, with everybody's noise."""
    engine = Engine(load(folder), [], EngineConfig())
    made = answer_instructed(engine, [TOLD, TOLD], [PLAIN, PLAIN], 5, 2, 6, seed=3)
    assert [(a.prompt, a.sample) for a in made] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    steer = build(folder).guidance(Point("told", 1, "told"))
    alone = generate(engine, [TOLD], sampling_params("3/1", 2, 6, steer))[0]
    assert [a.text for a in made[2:]] != [choice.text for choice in alone], "k = 5 there, 40 here"
    wide = answer_instructed(engine, [TOLD, TOLD], [PLAIN, PLAIN], 40, 2, 6, seed=3)
    assert [a.text for a in wide[2:]] == [choice.text for choice in alone]
    assert all(a.drawn == a.tokens and a.seconds > 0 for a in made)


def build(folder: Path, **changes: Any) -> Any:  # noqa: F811
    return build_arm("told", told(folder, **changes).config)


def test_the_kl_of_its_own_samples_is_the_log_ratio_on_average(folder: Path) -> None:  # noqa: F811
    """The exact KL has the mean of log p(a) - log ref(a) over drawn tokens, and a spread that is much smaller."""
    policy = load(folder)
    engine = Engine(policy, [], EngineConfig(max_num_seqs=64))
    choices = generate(engine, [TOLD], sampling_params("0/0", 64, 3, build(folder).guidance(Point("told", 1, "told"))))
    exact, drawn = [], []
    for choice in choices[0]:
        paid = price(policy, TOLD, PLAIN, choice.token_ids, 40)
        exact.append(paid.steering_nats + paid.truncation_nats)
        drawn.append(sum(token.drawn_logprob for token in choice.logprobs) + paid.base_nll)
    exact_tensor, drawn_tensor = torch.tensor(exact), torch.tensor(drawn)
    error = float(drawn_tensor.std()) / 64**0.5
    assert abs(float(exact_tensor.mean() - drawn_tensor.mean())) < 4 * error
    assert float(exact_tensor.std()) < 0.7 * float(drawn_tensor.std())


def test_what_is_told_may_not_change_and_needs_conversations(chats: Path) -> None:
    told(chats).sample()
    with pytest.raises(RunError, match="begun with other settings"):
        told(chats, arms={"told": {"instructions": {**WORDS, "low": "Be lower."}}}).sample()
    (chats / "prompts.jsonl").write_text('{"prompt": "say 1"}\n{"prompt": "say 2"}\n')
    with pytest.raises(RunError, match="'say 1': is a plain text"):
        Evaluation(replace(told(chats).config, folder=str(chats / "other")), progress=False).sample()
    assert not (chats / "other").exists()


def test_it_has_the_shares_that_can_be_told(folder: Path) -> None:  # noqa: F811
    one = {"axes": ["low"], "reference_point": [0], "arms": {"told": {"instructions": {"low": "Be low."}}}}
    assert [point.share for point in build(folder, **one, shares=[-1, 0, 0.5, 1]).points] == [0.5, 1]
    with pytest.raises(RunError, match=r"arms.told: no share of \[-1.0, 0.0\] has a weight above 0"):
        build(folder, **one, shares=[-1, 0])


def test_steered_by_words_at_weight_1_over_all_candidates_it_says_what_it_says_when_told(chats: Path) -> None:
    """Same distributions but for one token of 257, same noise, and the same price by two ways."""
    arms = {"words": {"objectives": WORDS, "betas": [1, 3]}, "told": {"instructions": WORDS}}
    made = told(chats, arms=arms, shares=[0, 0.5, 1], top_k=256, samples=1)
    made.sample()
    for share in (0.0, 1.0):
        steered, instructed = (read(made._answers(Point(*p))) for p in ends(share))
        assert [a.text for a in steered] == [a.text for a in instructed]
        for field in ("steering_nats", "truncation_nats", "base_nll"):
            assert [getattr(a, field) for a in steered] == pytest.approx(
                [getattr(a, field) for a in instructed], rel=2e-2, abs=1e-3
            )
    strong = read(made._answers(Point("words", 0.5, "beta-3")))
    weak = read(made._answers(Point("words", 0.5, "beta-1")))
    assert sum(a.steering_nats for a in strong) > 2 * sum(a.steering_nats for a in weak) > 0


def ends(share: float) -> tuple[tuple[str, float, str], tuple[str, float, str]]:
    return ("words", share, "beta-1"), ("told", share, "told")


def test_words_stand_beside_values_of_other_axes_and_search(chats: Path) -> None:
    best = {"method": "best_of", "successors": 2, "tilt": False}
    save_head(chats / "one", value_config(load(chats), "low"), HeadNetwork(1, HIDDEN, WIDTH, RANK))
    arms: dict[str, Any] = {"mixed": {"values": ["one"], "objectives": {"short": "Be short."}, "betas": [1]}}
    arms["search"] = {"objectives": WORDS, "searches": [best]}
    made = told(chats, arms=arms, shares=[0.5], samples=1)
    made.sample()
    for point in made.points[1:]:
        assert sum(a.steering_nats for a in read(made._answers(point))) > 0
    both = {"both": {"values": ["value"], "objectives": {"short": "Be short."}, "betas": [1]}}
    with pytest.raises(RunError, match=r"arms.both: objectives.short: is scored by the value"):
        Evaluation(replace(told(chats, arms=both).config, folder=str(chats / "other")), progress=False).sample()
    lacking = told(chats, arms={"half": {"objectives": {"low": "Be low."}, "betas": [1]}})
    with pytest.raises(RunError, match=r"arms.half: its values do not score 'short'; they score low"):
        lacking.sample()
