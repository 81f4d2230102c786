"""Which model a stored preset or preference belongs to: servers of several models may share one database.

A row names its model by the first name that the model is served under: clients know that name, and replicas share it
whatever path each loads the model from. Rows that were written before rows had a model belong to none: they count on
every server whose loaded objectives they fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.messages import ObjectiveInfo
from server.weights import check_weights

NO_MODEL = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """The model that a server serves: its first name, and what is loaded."""

    model: str
    objectives: tuple[ObjectiveInfo, ...]

    @property
    def models(self) -> tuple[str, str]:
        """The models of rows that may count here."""
        return self.model, NO_MODEL

    def fits(self, weights: Mapping[str, float]) -> bool:
        """Whether the loaded objectives can serve these weights."""
        try:
            check_weights(weights, self.objectives)
        except InvalidRequestError:
            return False
        return True

    def visible(self, rows: Iterable[tuple[str, Mapping[str, float]]]) -> list[str]:
        """Given (model, weights) of rows of one name: the models of the rows that count here, our own first."""
        found = {model for model, weights in rows if model == self.model or self.fits(weights)}
        return [model for model in self.models if model in found]
