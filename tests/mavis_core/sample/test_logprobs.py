"""Log-probabilities of one step: the model's own for unguided rows, the tilted ones for guided rows, for who asked."""

from __future__ import annotations

import pytest
import torch

from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import TokenLogprobs
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.sample.candidates import find_candidates
from mavis_core.sample.logprobs import collect_logprobs
from mavis_core.sample.noise import token_hashes
from mavis_core.sample.row_tensors import RowTensors
from mavis_core.sample.sampler import Drawn, Tilted
from mavis_core.sample.tilt import tilted_logprobs
from tests.mavis_core.rows import VOCAB, rows

WIDTH = 5
POOL = KVPool(CacheSpec(1, 1, 2), 3, 4, torch.float32, torch.device("cpu"))


def tensors(asked: list[int | None], guided: int) -> RowTensors:
    """One row for each, the first ones guided."""
    steer = Guidance({"a": 1.0}, top_k=WIDTH)
    made = [rows([1], SamplingParams(logprobs=n), steer if i < guided else None)[0] for i, n in enumerate(asked)]
    for row in made:
        row.blocks = [0]
    return RowTensors(made, POOL, token_hashes(VOCAB))


def logits(count: int) -> torch.Tensor:
    return torch.randn(count, VOCAB, generator=torch.Generator().manual_seed(count))


def unguided(raw: torch.Tensor, surviving: torch.Tensor, asked: list[int | None]) -> list[TokenLogprobs | None]:
    drawn = Drawn(surviving.argmax(dim=1), surviving.amax(dim=1), None, None)
    return collect_logprobs(raw, surviving, None, drawn, tensors(asked, 0))


def test_unguided_rows_tell_the_models_own_before_any_edit() -> None:
    raw = logits(3)
    surviving = (raw / 0.5).masked_fill(raw < raw.amax(dim=1, keepdim=True) - 1, -torch.inf)
    found = unguided(raw, surviving, [2, None, 0])
    assert found[1] is None
    for i, count in ((0, 2), (2, 0)):
        own, processed, one = raw[i].log_softmax(0), surviving[i].log_softmax(0), found[i]
        assert one is not None
        assert one.token_id == surviving[i].argmax()
        assert one.logprob == pytest.approx(own[one.token_id].item(), abs=1e-5)
        assert one.drawn_logprob == pytest.approx(processed[one.token_id].item(), abs=1e-5)
        best = own.topk(count)
        assert [token for token, _ in one.top] == best.indices.tolist()
        assert [p for _, p in one.top] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_guided_rows_tell_what_they_were_drawn_from() -> None:
    """Over their candidates: what is none of them is not told, however many were asked for."""
    raw = logits(3)
    batch = tensors([20, 1, None], 3)
    found = find_candidates(raw, raw, torch.tensor([WIDTH, 3, WIDTH]), WIDTH)
    assert found.valid is not None
    amount = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1)).masked_fill(~found.valid, 0.0)
    tilted = Tilted(found, amount[:, :, None], tilted_logprobs(found.reference, amount))
    chosen = torch.tensor([4, 1, 0])
    drawn = Drawn(found.ids.gather(1, chosen[:, None])[:, 0], None, chosen, None)
    told = collect_logprobs(raw, raw, tilted, drawn, batch)
    assert told[2] is None
    for i, count in ((0, WIDTH), (1, 1)):
        one = told[i]
        assert one is not None
        assert one.token_id == found.ids[i, chosen[i]]
        assert one.logprob == one.drawn_logprob == pytest.approx(tilted.logprobs[i, chosen[i]].item())
        order = tilted.logprobs[i].argsort(descending=True)[:count]
        assert [token for token, _ in one.top] == found.ids[i, order].tolist()


def test_candidates_that_are_none_are_not_told() -> None:
    raw = logits(1)
    found = find_candidates(raw, raw, torch.tensor([2]), WIDTH)
    tilted = Tilted(found, torch.zeros(1, WIDTH, 1), tilted_logprobs(found.reference, torch.zeros(1, WIDTH)))
    drawn = Drawn(found.ids[:, 0], None, torch.tensor([0]), None)
    (told,) = collect_logprobs(raw, raw, tilted, drawn, tensors([4], 1))
    assert told is not None and len(told.top) == 2


def test_in_a_mixed_batch_each_gets_its_own_kind() -> None:
    raw = logits(2)
    found = find_candidates(raw[:1], raw[:1], torch.tensor([WIDTH]), WIDTH)
    tilted = Tilted(found, torch.zeros(1, WIDTH, 1), tilted_logprobs(found.reference, torch.zeros(1, WIDTH)))
    drawn = Drawn(torch.cat((found.ids[:, 0], raw[1:].argmax(dim=1))), torch.zeros(1), torch.tensor([0]), None)
    guided, plain = collect_logprobs(raw, raw, tilted, drawn, tensors([1, 1], 1))
    assert guided is not None and plain is not None
    assert guided.logprob == pytest.approx(found.reference[0].log_softmax(0)[0].item(), abs=1e-5)
    assert plain.logprob == pytest.approx(raw[1].log_softmax(0).amax().item(), abs=1e-5)


def test_nobody_asking_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, batch = logits(2), tensors([None, None], 0)
    drawn = Drawn(raw.argmax(dim=1), raw.amax(dim=1), None, None)
    monkeypatch.setattr(torch.Tensor, "log_softmax", None)
    assert collect_logprobs(raw, raw, None, drawn, batch) == [None, None]
