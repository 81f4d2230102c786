"""guidellm: a few requests of its load, streamed, whose tokens it counts by our usage."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from checks import MODEL, TOKENIZER, URL, check, run


def load(kind: str) -> None:
    out = Path.cwd() / f"{kind}.json"
    command = [
        "guidellm", "benchmark", "run", "--target", URL, "--model", MODEL, "--processor", str(TOKENIZER),
        "--profile", "synchronous", "--max-requests", "3", "--data", "prompt_tokens=16,output_tokens=8",
        "--request-type", kind, "--output-path", str(out),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, (done.stderr or done.stdout).strip().splitlines()[-1]
    told = json.loads(out.read_text(encoding="utf-8"))["benchmarks"][0]
    made = told["metrics"]["request_totals"]
    assert made["successful"] == 3 and not made["errored"], made


@check("chat, three requests")
def chat() -> None:
    load("chat_completions")


@check("text, three requests")
def text() -> None:
    load("text_completions")


run()
