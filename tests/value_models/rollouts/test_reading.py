"""A tree read below another prompt gives what each of its texts gives there alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.models import tiny_policy
from tests.value_models.rollouts.test_packing import trees
from value_models.rollouts import reading
from value_models.rollouts.packing import NOTHING, pack
from value_models.rollouts.reading import asked_logprobs, below


@pytest.mark.parametrize("prompt", [[7, 3], list(range(3, 30)), None])
def test_every_token_after_another_prompt(prompt: list[int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter, longer, and its own: what stands in the forest is what was drawn with."""
    monkeypatch.setattr(reading, "POSITIONS", 23)
    policy, tree = tiny_policy("llama"), trees()[0]
    drawn = np.flatnonzero(np.repeat(tree.parent >= 0, tree.length))
    packed = pack(0, tree, NOTHING, (drawn, np.zeros((len(drawn), 0))))
    found = asked_logprobs(policy, packed if prompt is None else below(packed, prompt)).numpy()
    if prompt is None:
        assert found == pytest.approx(tree.base_logprobs[drawn], abs=1e-4)
        prompt = tree.own_tokens(0)
    each = np.zeros(len(tree.tokens))
    each[drawn] = found
    totals = tree.path_sums(each)
    for leaf in tree.leaves.tolist()[::7]:
        text = torch.tensor([*prompt, *tree.response(leaf)])
        with torch.inference_mode():
            logprobs = policy.logits(policy.backbone.forward_plain(text)).log_softmax(dim=1)
        own = range(len(prompt), len(text))
        assert totals[leaf] == pytest.approx(sum(float(logprobs[i - 1, text[i]]) for i in own), abs=1e-3)
        assert tree.path_lengths[leaf] == len(own)
