from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import MAX_CHOICES_TO_OFFER, MAX_STRUCTURE_LENGTH, Structure


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("json_schema", '{"type": "object"}'),
        ("json_schema", "true"),
        ("regex", "[a-z]+"),
        ("regex", "a" * MAX_STRUCTURE_LENGTH),
        ("choice", '["yes", "no", "\\ud83d\\ude00", ""]'),
        ("grammar", 'start: "a"'),
    ],
)
def test_legal_ones(kind: Any, source: str) -> None:
    structure = Structure(kind, source)
    assert SamplingParams(structure=structure).structure == structure
    assert hash(structure) == hash(Structure(kind, source))


@pytest.mark.parametrize(
    ("kind", "source", "message"),
    [
        ("xml", "<a/>", "kind='xml': must be one of json_schema, regex, choice, grammar"),
        ("regex", "", "the regex is empty"),
        ("grammar", " \n", "the grammar is empty"),
        ("regex", 7, "must be a string, not int"),
        ("regex", "a" * (MAX_STRUCTURE_LENGTH + 1), "has 65537 characters: at most 65536"),
        ("regex", "\ud800", "half of a surrogate pair"),
        ("json_schema", "{", "is not JSON"),
        ("json_schema", "[]", "must be a JSON object or true"),
        ("json_schema", "false", "must be a JSON object or true"),
        ("json_schema", "[" * 60_000, "is not JSON"),
        ("json_schema", '{"maximum": ' + "9" * 5000 + "}", "is not JSON"),
        ("choice", '{"a": 1}', "must be a list of strings"),
        ("choice", '["a", 1]', "must be a list of strings"),
        ("choice", "[]", "has 0 strings: must be 1 to 4096"),
        ("choice", "[" + ",".join(['"a"'] * (MAX_CHOICES_TO_OFFER + 1)) + "]", "has 4097 strings"),
        ("choice", '["\\ud800"]', "half of a surrogate pair"),
    ],
)
def test_refused(kind: Any, source: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message) as refused:
        Structure(kind, source)
    assert refused.value.param == "structure"


def test_frozen_and_checked_by_sampling_params() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Structure("regex", "a").source = "b"  # type: ignore[misc]
    wrong: Any = {"kind": "regex", "source": "a"}
    with pytest.raises(InvalidRequestError, match="structure: must be a Structure, not dict"):
        SamplingParams(structure=wrong)
