"""Log-probabilities of prompts: read off the hidden states that prefill computes anyway, for the rows that ask.

The hidden state at position i gives the distribution of token i + 1, so every chunk of a prompt scores the tokens
one further on; what a row has is kept on it, so that a row that is preempted and read again goes on where it was.
Logits of a long chunk are made ``SLICE`` positions at a time: (T, V) of a whole prompt would be gigabytes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mavis_core.api.messages import TokenLogprobs
from mavis_core.model.policy import Policy
from mavis_core.schedule.row import Row
from mavis_core.schedule.row_fault import alone
from mavis_core.schedule.scheduler import Plan

SLICE = 128


def score_prompts(policy: Policy, plan: Plan, hidden: Tensor) -> None:
    """Extend ``prompt_logprobs`` of the planned rows that ask for them.

    Args:
        hidden: (N, D) of the whole step: one position for each that decodes, then the chunks in their order.
    """
    start = plan.decode_tokens
    for chunk in plan.prefill:
        row, scored = chunk.row, chunk.row.prompt_logprobs
        if row.scores_prompt and scored is not None:
            known = len(scored) - 1 - chunk.start  # more than 0 where a preempted row is read again
            stop = min(chunk.count, row.prompt_length - 1 - chunk.start)
            with alone(row, "in its prompt's log-probabilities"):
                for at in range(known, stop, SLICE):
                    tokens = row.tokens[len(scored) : len(scored) + min(SLICE, stop - at)]
                    scored += _score(policy, tokens, hidden[start + at :][: len(tokens)], row)
        start += chunk.count


def _score(policy: Policy, tokens: list[int], hidden: Tensor, row: Row) -> list[TokenLogprobs]:
    """Raw log-softmax at T = 1 of S tokens, from hidden (S, D) of the positions before them."""
    count = row.request.sampling.prompt_logprobs
    assert count is not None
    logprobs = policy.logits(hidden).log_softmax(dim=1)
    own = logprobs.gather(1, torch.tensor(tokens, device=logprobs.device)[:, None])[:, 0].tolist()
    top, ids = (found.tolist() for found in logprobs.topk(min(count, logprobs.shape[1]), dim=1))
    return [
        TokenLogprobs(token, logprob, tuple(zip(names, likely, strict=True)), logprob)
        for token, logprob, names, likely in zip(tokens, own, ids, top, strict=True)
    ]
