"""A sequence classifier as a reward: the chosen output of the texts it says it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
)

from mavis_core.api.errors import RewardError
from tests.models import byte_tokenizer
from value_models.prompts import Prompt
from value_models.rewards.classifier import Classifier
from value_models.rewards.registry import RewardConfig, build
from value_models.rewards.template import Template

PROMPTS = [Prompt("hello"), Prompt("a much longer question"), Prompt("c")]
RESPONSES = ["yes", "no, never", "?"]


def config(labels: int) -> BertConfig:
    return BertConfig(
        vocab_size=260,
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=3,
        intermediate_size=8,
        max_position_embeddings=64,
        initializer_range=0.5,
        num_labels=labels,
        id2label={i: f"label{i}" for i in range(labels)},
    )


def tokenizer() -> PreTrainedTokenizerFast:
    found = byte_tokenizer()
    found.pad_token = "<eos>"
    return found


def model(labels: int) -> Any:
    torch.manual_seed(labels)
    return BertForSequenceClassification(config(labels)).eval()


def saved(folder: Path, labels: int) -> str:
    model(labels).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def alone(labels: int, text: str) -> torch.Tensor:
    with torch.inference_mode():
        return model(labels)(input_ids=torch.tensor([tokenizer().encode(text)])).logits[0]


@pytest.mark.parametrize(("output", "index"), [(2, 2), ("label1", 1)])
def test_the_chosen_output_of_the_response(tmp_path: Path, output: int | str, index: int) -> None:
    settings = RewardConfig(classifier=saved(tmp_path, 3), output=output, reads="response")
    (reward,) = build({"tone": settings}, tmp_path)
    found = reward.score(PROMPTS, RESPONSES)
    assert found == pytest.approx([alone(3, text)[index].item() for text in RESPONSES], abs=1e-5)
    (probability,) = build({"tone": RewardConfig(**{**vars_of(settings), "probability": True})}, tmp_path)
    expected = [alone(3, text).softmax(0)[index].item() for text in RESPONSES]
    assert probability.score(PROMPTS, RESPONSES) == pytest.approx(expected, abs=1e-5)


def vars_of(settings: RewardConfig) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def test_the_only_output_needs_no_choice_and_batches_change_nothing() -> None:
    whole = Classifier("one", "", model(1), tokenizer(), reads="response")
    single = Classifier("one", "", model(1), tokenizer(), reads="response", batch_size=1)
    assert whole.score(PROMPTS, RESPONSES) == pytest.approx(single.score(PROMPTS, RESPONSES), abs=1e-5)


def test_without_a_token_to_pad_with_texts_are_read_one_by_one() -> None:
    bare = tokenizer()
    bare.pad_token = bare.eos_token = None
    plain = model(1)
    plain.config.pad_token_id = None
    found = Classifier("one", "", plain, bare, reads="response").score(PROMPTS, RESPONSES)
    assert found == pytest.approx([alone(1, text).item() for text in RESPONSES], abs=1e-5)


def test_the_prompt_is_read_with_the_response() -> None:
    reward = Classifier("one", "", model(1), tokenizer())
    assert reward.score([PROMPTS[0]], ["yes"])[0] == pytest.approx(alone(1, "helloyes").item(), abs=1e-5)
    templated = tokenizer()
    templated.chat_template = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    chat = Classifier("one", "", model(1), templated)
    expected = alone(1, "[user]hello[assistant]yes").item()
    assert chat.score([PROMPTS[0]], ["yes"])[0] == pytest.approx(expected, abs=1e-5)


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    folder = saved(tmp_path, 1)
    (reward,) = build({"kind": RewardConfig(classifier=folder, template="<{prompt}> {response}")}, tmp_path)
    found = reward.score([Prompt("a {response} b")], ["{prompt}"])
    assert found == pytest.approx([alone(1, "<a {response} b> {prompt}").item()], abs=1e-5)
    (reward,) = build({"kind": RewardConfig(classifier=folder, template="so: {response}", reads="response")}, tmp_path)
    assert reward.score(PROMPTS[:1], ["yes"]) == pytest.approx([alone(1, "so: yes").item()], abs=1e-5)
    with pytest.raises(RewardError, match="template: is a setting of classifiers"):
        build({"kind": RewardConfig(template="{response}")}, tmp_path)


def test_a_template_goes_before_the_tokenizers_own() -> None:
    templated = tokenizer()
    templated.chat_template = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    reward = Classifier("one", "", model(1), templated, template=Template("<{prompt}> {response}"))
    assert reward.score(PROMPTS[:1], ["yes"])[0] == pytest.approx(alone(1, "<hello> yes").item(), abs=1e-5)


def test_a_reward_model_that_reads_from_left_to_right_scores_the_end_of_each_text(tmp_path: Path) -> None:
    """GPT-2's form, as of the papers' reward models: no token to pad with of its own, the score at the last token."""
    torch.manual_seed(0)
    sizes = GPT2Config(
        vocab_size=260, n_embd=12, n_layer=1, n_head=3, n_positions=96, num_labels=1, initializer_range=0.5
    )
    judge = GPT2ForSequenceClassification(sizes).eval()
    judge.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    config = RewardConfig(classifier=str(tmp_path), template="\n\nHuman: {prompt}\n\nAssistant: {response}")
    (reward,) = build({"helpful": config}, tmp_path)
    texts = [f"\n\nHuman: {p.text}\n\nAssistant: {r}" for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    with torch.inference_mode():
        ids = [byte_tokenizer().encode(text) for text in texts]
        expected = [judge.score(judge.transformer(torch.tensor([own]))[0])[0, -1, 0].item() for own in ids]
    assert reward.score(PROMPTS, RESPONSES) == pytest.approx(expected, abs=1e-5)


def test_a_long_text_loses_its_beginning() -> None:
    reward = Classifier("one", "", model(1), tokenizer(), reads="response")
    text = "x" * 50 + "y" * 64
    assert reward.score([Prompt("")], [text])[0] == pytest.approx(alone(1, "y" * 64).item(), abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "output", "message"),
    [
        (3, None, "output: must be chosen, it has 3 outputs: label0, label1, label2"),
        (3, 3, "output=3: it has 3 outputs"),
        (2, "good", "output='good': it has 2 outputs: label0, label1"),
    ],
)
def test_another_number_of_outputs_is_refused(labels: int, output: int | str | None, message: str) -> None:
    with pytest.raises(RewardError, match=f"reward 'tone': {message}"):
        Classifier("tone", "", model(labels), tokenizer(), output)


def test_a_folder_that_is_no_classifier_is_refused(tmp_path: Path) -> None:
    BertModel(config(1)).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(RewardError, match=r"reward 'tone'.*no weights for classifier\.bias, classifier\.weight"):
        Classifier.load("tone", "", str(tmp_path))
    for path in ("/no/such", "./none"):
        with pytest.raises(RewardError, match=f"reward 'tone': {path}: no such folder"):
            Classifier.load("tone", "", path)


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RewardError, match="reward 'tone': device='tpu': "):
        Classifier.load("tone", "", saved(tmp_path, 1), "tpu")
