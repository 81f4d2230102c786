"""At which beta a student spends what its words do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.engine import Engine
from tests.models import tiny_policy
from value_models.rollouts.grow import grow
from value_models.rollouts.packing import Batch
from value_models.rollouts.shape import Shape
from value_models.training.teaching import Queries, teach_tree
from value_models.training.told_beta import MOST, Places, read_places, told_betas

GENERATOR = torch.Generator().manual_seed(3)


def test_half_as_loud_is_asked_for_twice_and_noise_not_without_end() -> None:
    logprobs = torch.randn(50, 8, generator=GENERATOR).log_softmax(dim=1)
    words = torch.randn(50, 8, 3, generator=GENERATOR)
    student = torch.stack((words[..., 0], words[..., 1] / 2, words[..., 2] * 1e-3), dim=2)
    offset = torch.randn(50, 1, 3, generator=GENERATOR)  # what is the same for all candidates moves nothing
    assert told_betas(Places(logprobs, words, student + offset)) == pytest.approx([1.0, 2.0, MOST], abs=1e-3)


class Quiet(torch.nn.Module):
    """Says half of what is taught, and of an objective of no words something else."""

    def forward(self, batch: Batch) -> torch.Tensor:
        return torch.cat((batch.targets[:, :1] * 7, batch.targets[:, 1:] / 2), dim=1)


def test_places_are_read_off_a_taught_tree() -> None:
    policy = tiny_policy("llama")
    engine = Engine(policy, [], EngineConfig(max_num_seqs=4))
    (tree,) = [grow(engine, [(0, [5, 7, 9])], Shape(kind="flat", samples=2, max_tokens=6), Guidance(), 0, seed=4)]

    class Teacher(torch.nn.Module):
        def forward(self, batch: Batch) -> torch.Tensor:
            ids = batch.ids.flatten()[batch.asked].float()
            return torch.stack((ids, ids.sin()), dim=1)

    packed, _ = teach_tree(policy, [Teacher()], tree, 0, Queries(3, 5, 9), np.random.default_rng(1))
    places = read_places(policy, Quiet(), [packed], slice(1, None))
    assert places.words.shape[1:] == (5, 1) and len(places.logprobs) in (2, 3)
    assert places.logprobs.exp().sum(dim=1).tolist() == pytest.approx([1.0] * len(places.logprobs))
    torch.testing.assert_close(places.student, places.words / 2)
    assert told_betas(places) == pytest.approx([2.0], abs=1e-3)
