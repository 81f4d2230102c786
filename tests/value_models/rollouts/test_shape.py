"""The paper's tree, and flat rollouts of equal cost."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mavis_core.api.errors import RunError
from value_models.rollouts.shape import Shape


def test_the_defaults_are_the_papers() -> None:
    shape = Shape()
    branches = [shape.branches(layer) for layer in range(shape.depth)]
    assert branches == [4, 2, 2, 2, 2]
    nodes = [4]
    for count in branches[1:]:
        nodes.append(nodes[-1] * count)
    assert (nodes[-1], sum(nodes)) == (64, 124)


def test_segments_are_uniform_up_to_twice_the_mean_that_is_left() -> None:
    shape, rng = Shape(max_tokens=50, layers=5), random.Random(1)
    for layer, left in ((0, 50), (2, 31), (3, 9)):
        drawn = {shape.segment(left, layer, rng) for _ in range(2000)}
        assert drawn == set(range(1, 2 * (left // (5 - layer)) + 1))
    assert shape.segment(17, 4, rng) == 17
    assert {shape.segment(2, 0, rng) for _ in range(20)} == {1}, "less than one token a layer"


def test_flat_rollouts_spend_as_many_tokens_as_the_tree() -> None:
    tree = Shape(max_tokens=60)
    rng, spent = random.Random(2), []

    def below(left: int, layer: int) -> int:
        if left == 0 or layer == tree.depth:
            return 0
        segment = tree.segment(left, layer, rng)
        return sum(segment + below(left - segment, layer + 1) for _ in range(tree.branches(layer)))

    for _ in range(300):
        spent.append(below(60, 0))
    expected = sum(tree.expected_tokens(layer) for layer in range(tree.depth))
    assert expected == pytest.approx(sum(spent) / len(spent), rel=0.06)
    assert tree.expected_tokens(1) == 8 * 60 / 5
    flat = Shape("flat", max_tokens=60)
    assert (flat.depth, flat.segment(60, 0, rng)) == (1, 60)
    assert flat.branches(0) * 60 == pytest.approx(sum(spent) / len(spent), rel=0.06)
    assert Shape("flat", samples=3).branches(0) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "rollouts.shape.layers=0: must be 1 to 16"),
        ({"children": 200}, "rollouts.shape.children=200: must be 1 to 128"),
        ({"split_layers": 6}, "rollouts.shape.split_layers=6: must be 0 to layers=5"),
        ({"samples": 0}, "rollouts.shape.samples=0: must be 1 to 128"),
    ],
)
def test_impossible_shapes_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        Shape(**settings)
