"""lm-eval: a tiny task of choices by echoed log-probabilities, and one of written answers, over both endpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lm_eval
from checks import MODEL, TOKENIZER, URL, check, run
from lm_eval.tasks import TaskManager

FOLDER = Path.cwd() / "tasks"
FOLDER.mkdir(exist_ok=True)
ROWS = [
    {"question": "Snow is", "choices": ["white", "a car"], "answer": 0},
    {"question": "How are", "choices": ["you", "of"], "answer": 0},
    {"question": "Thank", "choices": ["blue", "you"], "answer": 1},
]
DATA = FOLDER / "rows.jsonl"
DATA.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
COMMON = f"""
dataset_path: json
dataset_kwargs: {{data_files: {{test: {DATA}}}}}
test_split: test
"""
CHOICES = f"""
task: tiny_choices
{COMMON}
output_type: multiple_choice
doc_to_text: question
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc}}]
"""
WRITTEN = f"""
task: tiny_written
{COMMON}
output_type: generate_until
doc_to_text: question
doc_to_target: "{{{{choices[answer]}}}}"
generation_kwargs: {{until: ["."], max_gen_toks: 8, do_sample: false}}
metric_list: [{{metric: exact_match}}]
"""
(FOLDER / "tiny_choices.yaml").write_text(CHOICES, encoding="utf-8")
(FOLDER / "tiny_written.yaml").write_text(WRITTEN, encoding="utf-8")


def evaluated(model: str, task: str, **more: Any) -> dict[str, Any]:
    path = "chat/completions" if "chat" in model else "completions"
    arguments = {
        "model": MODEL,
        "base_url": f"{URL}/v1/{path}",
        "max_retries": 1,
        "num_concurrent": 1,
        "max_length": 500,
    }
    found = lm_eval.simple_evaluate(
        model=model, model_args=arguments | more, tasks=[task], bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(FOLDER), include_defaults=False),
        apply_chat_template="chat" in model,
    )  # fmt: skip
    assert found is not None
    return dict(found["results"][task])


@check("choices by log-probabilities")
def choices() -> None:
    for tokenized in (True, False):
        told = evaluated("local-completions", "tiny_choices", tokenizer=str(TOKENIZER), tokenized_requests=tokenized)
        assert 0 <= told["acc,none"] <= 1


@check("choices with the server's own tokenizer")
def remote() -> None:
    assert 0 <= evaluated("local-completions", "tiny_choices", tokenizer_backend="remote")["acc,none"] <= 1


@check("written answers")
def written() -> None:
    evaluated("local-completions", "tiny_written", tokenizer=str(TOKENIZER))


@check("written answers, chat")
def chat() -> None:
    evaluated("local-chat-completions", "tiny_written")


run()
