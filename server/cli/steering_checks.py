"""Whether what the operator has set can be served: default weights, presets and objectives in words."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mavis_core.api.messages import ObjectiveInfo
    from mavis_core.api.tokenizer import Tokenizer
    from server.bounds.bounds_file import BoundsFile
    from server.objectives.declared import Declared
    from server.protocol.presets import Preset

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SteeringChecks:
    """Attributes:
    default: weights of requests that bring none.
    presets: of ``presets_file``.
    declared: objectives in words.
    bounds_file: of ``bounds``.
    chat_template: file in place of the tokenizer's own template, or None.
    """

    default: Mapping[str, float]
    presets: Mapping[str, Preset]
    presets_file: Path | None
    declared: Declared
    chat_template: Path | None
    bounds: BoundsFile
    bounds_file: Path | None

    def of_objectives(self, loaded: Sequence[ObjectiveInfo]) -> None:
        """Before the model is read. Raises ConfigError: the values do not fit what is set."""
        self.declared.check_names(loaded)
        self._check_known(loaded, in_words=True)

    def of_template(self, loaded: Sequence[ObjectiveInfo], tokenizer: Tokenizer | None) -> None:
        """Once it is read. Raises ConfigError: something set needs objectives in words, which its template refuses."""
        from server.objectives.instruction import find_place
        from server.text.prompts import Prompts

        place = None if tokenizer is None else find_place(Prompts(lambda: tokenizer, self.chat_template).render)
        logger.info(
            "objectives in words: %s", "not with this model" if place is None else f"instructions go {place.described}"
        )
        self.declared.check_place(place)
        if place is None:
            self._check_known(loaded, in_words=False)

    def _check_known(self, loaded: Sequence[ObjectiveInfo], in_words: bool) -> None:
        from mavis_core.api.errors import ConfigError, InvalidRequestError
        from server.bounds.bounds_file import check_objectives
        from server.objectives.declared import Objectives
        from server.objectives.known import Known
        from server.stored.presets import check_presets
        from server.weights import check_weights

        known = Known.of(loaded, Objectives(self.declared).beside(loaded) if in_words else {})
        try:
            check_weights(self.default, known.infos)
        except InvalidRequestError as error:
            raise ConfigError(f"--objective-weights: {str(error).removeprefix('objective_weights: ')}") from None
        check_presets(self.presets, self.presets_file, known.infos)
        check_objectives(self.bounds, self.bounds_file, known.infos)
