"""What passes as a prompt."""

from __future__ import annotations

import pytest

from value_models.rollouts.question_filter import QuestionFilter


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "not ended"),
        ("Hello there", "too short or too long"),
        ("word " * 300, "too short or too long"),
        ("1+1=2, 2+2=4, 3+3=6 and so on", "not words"),
        ("What does <|im_start|> mean here please", "not words"),
        ("the broken \ufffd character in a text", "not words"),
        ("the cat the dog the bird the fish the end", "repeating itself"),
        ("Hello, welcome to my corner! How can I assist you today?", "the assistant's words"),
        ("Can you write an assistant for my shop?\nSure! How to do it?", "the assistant's words"),
        ("I\u2019m happy to help with your needs and wishes", "the assistant's words"),
        ("How can I help my neighbour? I am glad of any help.", None),
        ("How do I bake bread?", None),
        ("Wie backe ich ein gutes Brot?", None),
    ],
)
def test_texts_are_judged_alone(text: str | None, why: str | None) -> None:
    judge = QuestionFilter()
    assert judge.judge(text) == why
    assert judge.kept == ([text] if why is None else [])


def test_equal_and_nearly_equal_prompts_are_kept_once() -> None:
    judge = QuestionFilter(["How do I bake bread?"])
    for text in ("how do I  bake BREAD", "Bread: how do I bake?"):
        assert judge.judge(text) == "there already"
    assert judge.judge("Write a poem about the sea and the moon above it") is None
    assert judge.judge("Write a poem about the sea and the sun") == "there already", "the first eight words"
    assert judge.judge("Write a poem about the sea") is None
    assert len(judge.kept) == 3
