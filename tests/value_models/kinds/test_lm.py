"""The lm's siblings over a shared cache equal one plain forward per candidate, across commits."""

from __future__ import annotations

import pytest
import torch

from mavis_core.api.errors import LoadError
from mavis_core.model.attention import Chunk, PrefillAttention
from mavis_core.model.kv_pool import KVPool
from mavis_core.sample.scoring import ScoringInput
from tests.models import ARCHITECTURES, HIDDEN, VOCAB, lm_value, objective, tiny_config
from value_models.kinds.lm import LmValue

CPU = torch.device("cpu")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("width", [3, 2])
@torch.inference_mode()
def test_siblings_equal_plain_forwards(architecture: str, width: int) -> None:
    """Two rows of different lengths (so B = K once), decoded for five steps over shuffled blocks."""
    value = lm_value(architecture, "c", "d", "e")
    block, texts = 3, [[3, 5, 7, 11], [13]]
    pool = KVPool(value.model.cache, 8, block, torch.float32, CPU)
    pool.clear(torch.arange(8))
    value.bind([pool], CPU, torch.float32)
    tables = torch.tensor([[6, 1, 3], [2, 7, 4]])
    for text, table in zip(texts, tables, strict=True):
        at = torch.arange(len(text))
        attention = PrefillAttention(
            pool, table[at // block] * block + at % block, [Chunk(0, len(text), 0, table[None])]
        )
        value.extend(torch.tensor(text), at, attention)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        candidates = torch.stack([torch.randperm(VOCAB, generator=generator)[:width] for _ in texts])
        length = torch.tensor([len(text) for text in texts])
        nothing = torch.zeros(2, 0)
        hidden = torch.zeros(2, HIDDEN)
        inputs = ScoringInput(
            candidates, candidates >= 0, length, tables, nothing, hidden, nothing, int(length.max()), length
        )
        out = value.score(inputs)
        for row, text in enumerate(texts):
            expected = value.reference(text, candidates[row].tolist(), hidden[row])
            torch.testing.assert_close(out[row], expected, rtol=1e-3, atol=1e-3)
        chosen = torch.randint(0, width, (2,), generator=generator)
        value.commit(inputs, chosen)
        for row, text in enumerate(texts):
            text.append(int(candidates[row, chosen[row]]))


def test_it_asks_for_a_cache_and_says_how_long_it_can_read() -> None:
    value = lm_value("llama", "c")
    assert value.spec.caches == (value.model.cache,)
    assert value.spec.max_model_len == 128


def test_unsupported_backbones_are_refused_by_name() -> None:
    model = lm_value("llama", "c").model.base
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(LoadError, match="mine: llama caps its logits"):
        LmValue("mine", [objective("c")], model, torch.nn.Linear(HIDDEN, 1))
    assert getattr(tiny_config("llama"), "final_logit_softcapping", None) is None
