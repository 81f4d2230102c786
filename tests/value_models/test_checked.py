from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from mavis_core.api.errors import LoadError, RunError
from value_models.checked import read


@dataclass(frozen=True)
class Inner:
    name: str
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.share > 1:
            raise LoadError(f"share={self.share}: must be at most 1")


@dataclass(frozen=True)
class Outer:
    inner: Inner
    parts: tuple[Inner, ...] = ()
    span: tuple[float, int] | None = None
    numbers: list[int] = field(default_factory=list)
    free: dict[str, Any] = field(default_factory=dict)
    way: Literal["up", "down"] = "up"


def test_plain_data_becomes_dataclasses() -> None:
    data = {
        "inner": {"name": "a", "share": 1},
        "parts": [{"name": "b"}, {"name": "c"}],
        "span": [1, 2],
        "numbers": [3],
        "free": {"x": [None, {"y": 1}]},
        "way": "down",
    }
    found = read(Outer, data, "")
    parts = (Inner("b"), Inner("c"))
    assert found == Outer(Inner("a", 1.0), parts, (1.0, 2), [3], {"x": [None, {"y": 1}]}, "down")
    assert type(found.span[0]) is float
    assert read(Outer, {"inner": {"name": "a"}, "span": None}, "").span is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the file: must be a mapping of settings, got []"),
        ({"inner": 3}, "inner: must be a mapping of settings, got 3"),
        ({}, "inner: is missing"),
        ({"iner": {}}, "iner: unknown key; did you mean 'inner'? known: inner, parts"),
        ({"inner": {"name": 1}}, "inner.name=1: must be of type str"),
        ({"inner": {"name": "a", "share": 2}}, "inner: share=2.0: must be at most 1"),
        ({"inner": {"name": "a"}, "parts": [{"name": "b"}, {}]}, "parts[1].name: is missing"),
        ({"inner": {"name": "a"}, "span": [1]}, "span=[1]: must be a list of 2"),
        ({"inner": {"name": "a"}, "span": [1, 2.5]}, "span[1]=2.5: must be of type int"),
        ({"inner": {"name": "a"}, "numbers": [True]}, "numbers[0]=True: must be of type int"),
        ({"inner": {"name": "a"}, "free": [1]}, "free: must be a mapping from names, got [1]"),
        ({"inner": {"name": "a"}, "way": "left"}, "way='left': must be one of 'up', 'down'"),
    ],
)
def test_a_mistake_is_named_by_its_key(data: Any, message: str) -> None:
    with pytest.raises(RunError) as caught:
        read(Outer, data, "")
    assert str(caught.value).startswith(message)


def test_what_a_dataclass_of_another_layer_says_at_the_top_stands_alone() -> None:
    with pytest.raises(RunError, match=r"^share=2.0: must be at most 1$"):
        read(Inner, {"name": "a", "share": 2}, "")
