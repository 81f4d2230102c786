"""What a student is taught equals each teacher's own slow path, at drawn tokens and at candidates."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from mavis_core.model.policy import Policy
from tests.models import head_value, lm_value, q_lm_value, tiny_policy
from tests.value_models.rollouts.test_packing import CPU, trees
from value_models.kinds.head_trainee import HeadTrainee
from value_models.kinds.lm import LmTrainee
from value_models.kinds.q_lm import QLmTrainee
from value_models.rollouts import reading
from value_models.rollouts.forest import Forest
from value_models.rollouts.packing import PackedTree, collate
from value_models.training import teaching
from value_models.training.teaching import Queries, teach, teach_tree

QUERIES = Queries(places=7, candidates=5, top_k=11)


def text_of(tree: Forest, token: int) -> list[int]:
    """Prompt and path up to and including a token of the tree."""
    node = int(np.searchsorted(tree.start, token, side="right")) - 1
    if node == 0:
        return tree.own_tokens(0)[: token + 1]
    own = tree.start[node] + tree.length[node] - 1 - token
    whole = tree.own_tokens(0) + tree.response(node)
    return whole[: len(whole) - int(own)]


def test_teachers_are_asked_at_drawn_tokens_and_at_likely_candidates() -> None:
    policy, head, lm = tiny_policy("llama"), head_value(tiny_policy("llama"), "a", "b"), lm_value("llama", "c")
    q_lm = q_lm_value("gpt2", "d")
    teachers = [HeadTrainee(policy, head.network, keep=0), LmTrainee(lm.model.base, lm.readout)]
    teachers.append(QLmTrainee(q_lm.model.base, q_lm.readout))
    tree = trees()[0]
    packed, ends = teach_tree(policy, teachers, tree, 0, QUERIES, np.random.default_rng(0))
    own = len(tree.tokens)
    drawn = np.flatnonzero(np.repeat(tree.parent >= 0, tree.length))
    assert packed.drawn.at.tolist() == [*drawn.tolist(), *range(own, own + 7 * 5)]
    assert packed.drawn.targets.shape[1] == 4
    by_token = dict(zip(packed.drawn.at.tolist(), packed.drawn.targets, strict=True))
    places: dict[int, list[int]] = {}
    for token in range(own, len(packed.ids)):
        places.setdefault(int(packed.previous[token]), []).append(token)
    assert len(places) == 7 and all(len(tokens) == 5 for tokens in places.values())

    def said(text: list[int], candidates: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            hidden = policy.backbone.forward_plain(torch.tensor(text))[-1]
            return torch.cat([value.reference(text, candidates, hidden) for value in (head, lm, q_lm)], dim=1)

    for place, tokens in places.items():
        text, candidates = text_of(tree, place), packed.ids[tokens].tolist()
        assert packed.positions[tokens].tolist() == [len(text)] * 5
        with torch.inference_mode():
            likely = policy.logits(policy.backbone.forward_plain(torch.tensor(text))[-1:])[0].topk(11).indices
        assert set(candidates) <= set(likely.tolist()) and len(set(candidates)) == 5
        taught = torch.stack([by_token[token] for token in tokens])
        torch.testing.assert_close(taught, said(text, candidates), atol=1e-4, rtol=1e-4)
    for token in islice(drawn.tolist(), 0, None, 9):
        text = text_of(tree, token)
        torch.testing.assert_close(by_token[token][None], said(text[:-1], text[-1:]), atol=1e-4, rtol=1e-4)
    last = tree.start + tree.length - 1
    assert torch.tensor(ends[1:]).float().tolist() == [by_token[int(i)].tolist() for i in last[1:]]
    assert ends[0] == pytest.approx(ends[1:].mean(axis=0))


def test_a_student_of_the_same_shape_starts_out_perfect() -> None:
    """The teachers themselves in the student's place have no error, at node ends and in training batches."""
    policy, head = tiny_policy("llama"), head_value(tiny_policy("llama"), "a", "b")
    q_lm = q_lm_value("mistral", "c", "d", matrix=True)
    q_student = QLmTrainee(q_lm.model.base, q_lm.readout)
    teachers = [HeadTrainee(policy, head.network, keep=0), q_student]
    data = teach(policy, teachers, trees(), QUERIES, 0.5, 0, progress=False)
    assert len(data.train.trees) == len(data.held_out.trees) == 1
    head_student = HeadTrainee(policy, head.network)
    for part in (data.train, data.held_out):
        for every_token in (True, False):
            batch = collate(part.trees, every_token, CPU)
            found = torch.cat((head_student(batch), q_student(batch)), dim=1)
            torch.testing.assert_close(found, batch.targets, atol=1e-4, rtol=1e-4)


def test_states_are_read_once_and_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """By nobody again: not for candidates, not for a teacher, not for a student. Beyond the room they are read anew."""
    policy, head = tiny_policy("llama"), head_value(tiny_policy("llama"), "a", "b")
    reads: list[int] = []
    real = reading.read

    def counted(policy: Policy, tree: PackedTree) -> torch.Tensor:
        reads.append(tree.key)
        return real(policy, tree)

    monkeypatch.setattr(reading, "read", counted)
    monkeypatch.setattr(teaching, "read", counted)
    found = {}
    for room in (1 << 20, 0):
        monkeypatch.setattr(teaching, "STATES_KEPT", room)
        reads.clear()
        data = teach(policy, [HeadTrainee(policy, head.network, keep=0)], trees(), QUERIES, 0.5, 0, progress=False)
        packed = data.train.trees[0]
        assert (packed.states is not None) == (room > 0) and sorted(reads) == [0, 1]
        found[room] = HeadTrainee(policy, head.network)(collate([packed], True, CPU))
        assert len(reads) == (2 if room else 3)
    torch.testing.assert_close(found[0], found[1 << 20], atol=1e-5, rtol=1e-5)
