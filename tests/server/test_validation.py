from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mavis_core.api.errors import InvalidRequestError
from server.validation import parse


class Ranged(BaseModel):
    pair: tuple[float, float]
    pairs: list[tuple[float, float]] = []


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({"pair": [1.0]}, "pair[1] is required", "pair[1]"),
        ({"pair": []}, "pair[0] is required", "pair[0]"),
        ({"pair": [1.0, 2.0, 3.0]}, "pair: tuple should have at most 2 items", "pair"),
        ({"pair": ["x", 2.0]}, "pair[0]='x': must be number", "pair[0]"),
        ({"pair": [1.0, 2.0], "pairs": [[1.0, 2.0], [3.0]]}, "pairs[1][1] is required", "pairs[1][1]"),
    ],
)
def test_a_list_of_fixed_length_is_named_where_it_is_wrong(body: dict[str, Any], message: str, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse(Ranged, body)
    assert str(caught.value).startswith(message)
    assert caught.value.param == param
