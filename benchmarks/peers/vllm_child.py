"""vLLM in an environment of its own: answers one line of JSON with another, until its input ends.

Started by ``vllm_cpu.py`` with the other environment's Python, so it imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main() -> None:
    task: dict[str, Any] = json.loads(sys.stdin.readline())
    from vllm import LLM, SamplingParams

    llm = LLM(
        model=task["model"],
        dtype=task["dtype"],
        max_num_seqs=task["rows"],
        max_model_len=task["length"],
        enable_prefix_caching=False,
    )
    _say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        sampling = SamplingParams(temperature=1.0, max_tokens=asked["tokens"], ignore_eos=True, detokenize=False)
        prompts = [{"prompt_token_ids": prompt} for prompt in asked["prompts"]]
        start = time.perf_counter()
        answers = llm.generate(prompts, sampling, use_tqdm=False)
        seconds = time.perf_counter() - start
        _say({"seconds": seconds, "tokens": [len(answer.outputs[0].token_ids) for answer in answers]})


def _say(what: dict[str, Any]) -> None:
    """Behind a mark: vLLM writes to the same output."""
    print("\x1e" + json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
