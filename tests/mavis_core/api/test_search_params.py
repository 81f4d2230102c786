from __future__ import annotations

from typing import Any

import pytest

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.search_params import SearchParams


@pytest.mark.parametrize(
    ("settings", "message", "param"),
    [
        ({"method": "mcts"}, "guidance.search.method='mcts': must be chunk, best_of, beam", "method"),
        ({"method": "chunk", "beams": 0}, "guidance.search.beams=0: must be 1 to 64", "beams"),
        ({"method": "chunk", "successors": 65}, "guidance.search.successors=65: must be 1 to 64", "successors"),
        ({"method": "beam", "successors": 21}, "guidance.search.successors=21: must be 1 to 20", "successors"),
        (
            {"method": "chunk", "beams": 8, "successors": 9},
            "guidance.search.successors=9 times beams=8: at most 64",
            "successors",
        ),
        ({"method": "chunk", "chunk_tokens": 0}, "guidance.search.chunk_tokens=0: must be 1 to 4096", "chunk_tokens"),
        ({"method": "best_of", "chunk_tokens": 8}, "only method 'chunk' has chunks", "chunk_tokens"),
        ({"method": "best_of", "beams": 2}, "method 'best_of' has successors alone", "beams"),
        ({"method": "chunk", "scorer": "taste"}, "'taste': must be values, rewards", "scorer"),
        ({"method": "beam", "scorer": "values"}, "goes by the tilted log-probability", "scorer"),
        ({"method": "beam", "tilt": False}, "goes by the tilted log-probability", "tilt"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(settings: dict[str, Any], message: str, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SearchParams(**settings)
    assert message in str(caught.value)
    assert caught.value.param == f"guidance.search.{param}"


def test_rows_are_beams_times_successors() -> None:
    assert SearchParams("chunk", beams=8, successors=8).rows == 64
    assert SearchParams("best_of", successors=64).rows == 64
