"""The papers' loop asks value LMs in two ways that keep their KV: both give what reading each text anew gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.peers.papers import CANDIDATES, PapersArm, PapersValue, Way
from tests.models import HIDDEN, VOCAB, tiny_model

TEXTS = torch.tensor([[7, 9, 11, 13], [8, 5, 3, 2], [21, 34, 55, 1]])


def value(seed: int, weight: float) -> PapersValue:
    model = tiny_model("llama", seed).model
    torch.manual_seed(seed)
    return PapersValue(model, nn.Linear(HIDDEN, 1), weight)


@pytest.mark.parametrize(("way", "rows"), [("one by one", 1), ("side by side", 1), ("side by side", 3)])
def test_values_are_those_of_whole_texts(way: Way, rows: int) -> None:
    """Over three tokens, each drawn from the candidates: the prefix, then two steps on what was kept."""
    values = [value(3, 0.5), value(4, -2.0)]
    arm, texts = PapersArm(None, values, way), TEXTS[:rows]
    with torch.inference_mode():
        for step in range(3):
            candidates = (torch.arange(5) * 7 + step + torch.arange(rows)[:, None]) % VOCAB
            found = arm.values(texts, candidates)
            for row in range(rows):
                whole = torch.stack([torch.cat((texts[row], candidate[None])) for candidate in candidates[row]])
                each = [v.weight * v.readout(v.backbone(input_ids=whole).last_hidden_state[:, -1]) for v in values]
                torch.testing.assert_close(found[row], sum(each).squeeze(1), rtol=1e-4, atol=1e-5)
            texts = torch.cat((texts, candidates[:, 2:3]), dim=1)


def test_the_loop_draws_only_candidates_and_follows_values() -> None:
    """A value that is far greater for one token of the first forty makes the loop draw it."""
    model = tiny_model("llama")
    prompts = TEXTS[:2].tolist()
    with torch.inference_mode():
        likely = model(input_ids=TEXTS[:2]).logits[:, -1].topk(CANDIDATES).indices
    wanted = [int(row[-1]) for row in likely]
    arm = PapersArm(model, [], "side by side")
    arm.values = lambda texts, candidates: 1e4 * (candidates == torch.tensor(wanted)[:, None]).float()  # type: ignore[method-assign]
    assert arm.run(prompts, 1)[:, -1].tolist() == wanted
