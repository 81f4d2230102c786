"""guidellm: conversations of three turns of its synthetic load, streamed, whose tokens it counts by our usage."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from checks import MODEL, TOKENIZER, URL, check, run

TURNS = 3


def load(path: str) -> None:
    out = Path.cwd() / f"{path.rpartition('/')[2]}.json"
    backend = f"kind=openai_http,target={URL},model={MODEL},request_format={path}"
    command = [
        "guidellm", "run", "--backend", backend, "--profile", "kind=synchronous",
        "--constraint", f"kind=max_requests,count={TURNS}", "--tokenizer", f"kind=huggingface_auto,model={TOKENIZER}",
        "--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens=8,turns={TURNS}",
        "--output", f"kind=json,path={out}", "--disable-console-interactive",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, (done.stderr or done.stdout).strip().splitlines()[-1]
    [told] = json.loads(out.read_text(encoding="utf-8"))["benchmarks"]
    made = told["metrics"]["request_totals"]
    assert made["successful"] == TURNS and not made["errored"], made


for endpoint in ("/v1/chat/completions", "/v1/completions", "/v1/responses"):
    check(f"{endpoint}, three turns")(lambda path=endpoint: load(path))
run()
