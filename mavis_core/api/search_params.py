"""How one request searches: ``guidance.search``, checked at construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mavis_core.api.bounds import check_integer
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.sampling_params import MAX_LOGPROBS

MAX_SEARCH_ROWS = 64
MAX_CHUNK_TOKENS = 4096
DEFAULT_CHUNK_TOKENS = 8

Method = Literal["chunk", "best_of", "beam"]
Scorer = Literal["values", "rewards"]


@dataclass(frozen=True, slots=True)
class SearchParams:
    """Search of one request; ``beams * successors`` is at most 64.

    Attributes:
        method: "chunk" draws ``successors`` continuations of ``chunk_tokens`` tokens for each of ``beams``
            hypotheses, scores all and keeps the best ``beams`` (IVG, arXiv 2409.17819); "best_of" draws
            ``successors`` whole answers and keeps the best; "beam" keeps the ``beams`` likeliest texts under the
            tilted distribution, from the ``successors`` likeliest next tokens of each (MAVIS v1).
        beams: W.
        successors: K; of "beam" at most 20.
        chunk_tokens: L, of "chunk" only, 8 unless given.
        scorer: of "chunk" and "best_of": "values" (the default), the request's weights times V of the text, or
            "rewards", the weights times the z-scored rewards of the text.
        tilt: whether what is drawn is tilted too; of "beam" always.

    Raises:
        InvalidRequestError: naming the field.
    """

    method: Method
    beams: int = 1
    successors: int = 4
    chunk_tokens: int | None = None
    scorer: Scorer | None = None
    tilt: bool = True

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise _refused("method", f"{self.method!r}: must be {', '.join(get_args(Method))}")
        check_integer("guidance.search.beams", self.beams, 1, MAX_SEARCH_ROWS)
        most = MAX_LOGPROBS if self.method == "beam" else MAX_SEARCH_ROWS
        check_integer("guidance.search.successors", self.successors, 1, most)
        if self.rows > MAX_SEARCH_ROWS:
            raise _refused("successors", f"{self.successors} times beams={self.beams}: at most {MAX_SEARCH_ROWS}")
        if self.chunk_tokens is not None:
            check_integer("guidance.search.chunk_tokens", self.chunk_tokens, 1, MAX_CHUNK_TOKENS)
        if self.scorer is not None and self.scorer not in get_args(Scorer):
            raise _refused("scorer", f"{self.scorer!r}: must be {', '.join(get_args(Scorer))}")
        self._check_method()

    def _check_method(self) -> None:
        """Refuse settings that the method has no use for."""
        if self.method != "chunk" and self.chunk_tokens is not None:
            raise _refused("chunk_tokens", f"{self.chunk_tokens}: only method 'chunk' has chunks")
        if self.method == "best_of" and self.beams != 1:
            raise _refused("beams", f"{self.beams}: method 'best_of' has successors alone")
        if self.method == "beam" and self.scorer is not None:
            raise _refused("scorer", f"{self.scorer!r}: method 'beam' goes by the tilted log-probability")
        if self.method == "beam" and not self.tilt:
            raise _refused("tilt", "False: method 'beam' goes by the tilted log-probability")

    @property
    def rows(self) -> int:
        """How many rows of the batch the search takes."""
        return self.beams * self.successors


def _refused(field: str, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"guidance.search.{field}={what}", f"guidance.search.{field}")
