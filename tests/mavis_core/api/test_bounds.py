from __future__ import annotations

import math

import pytest

from mavis_core.api.bounds import check_integer, check_number
from mavis_core.api.errors import InvalidRequestError


@pytest.mark.parametrize("value", [-2, 0, 3, 2.5, -2.0])
def test_numbers_inside_come_back_as_floats(value: float) -> None:
    found = check_number("x", value, -2, 3)
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3.5, "x=3.5: must be -2 to 3"),
        (-2.1, "x=-2.1: must be -2 to 3"),
        (math.nan, "x=nan: must be -2 to 3"),
        (math.inf, "x=inf: must be -2 to 3"),
        (1e9, "x=1e+09: must be -2 to 3"),
        (10**40, f"x={10**40}: must be -2 to 3"),
        (-(10**400), f"x={-(10**400)}: must be -2 to 3"),
        ("1", "x='1': must be a number from -2 to 3"),
        (True, "x=True: must be a number from -2 to 3"),
        (None, "x=None: must be a number from -2 to 3"),
        ([1], "x=[1]: must be a number from -2 to 3"),
    ],
)
def test_other_numbers_are_refused_by_name(value: object, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_number("x", value, -2, 3)
    assert (str(caught.value), caught.value.param) == (message, "x")


@pytest.mark.parametrize("value", [0, 5, 7])
def test_integers_inside_come_back(value: int) -> None:
    assert check_integer("k", value, 0, 7) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (8, "k=8: must be 0 to 7"),
        (-1, "k=-1: must be 0 to 7"),
        (3.0, "k=3.0: must be an integer from 0 to 7"),
        (False, "k=False: must be an integer from 0 to 7"),
        ("3", "k='3': must be an integer from 0 to 7"),
    ],
)
def test_other_integers_are_refused_by_name(value: object, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_integer("k", value, 0, 7)
    assert (str(caught.value), caught.value.param) == (message, "k")
