"""What ranks hypotheses: the values that steer, at the last token, or rewards of the whole text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mavis_core.api.text_scores import standardise as standardise
from mavis_core.api.text_scores import text_values as text_values
from mavis_core.api.text_scores import weighted as weighted
from mavis_core.api.tokenizer import Tokenizer


class SequenceScorer(Protocol):
    """Scores of whole texts, or of their beginnings."""

    @property
    def names(self) -> Sequence[str]:
        """The M objectives that it scores."""
        ...

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> Sequence[Sequence[float]]:
        """(N, M), raw; called off the event loop. ``prompts`` are the text of the prompt's tokens."""
        ...


def rewards_of(
    scorer: SequenceScorer, tokenizer: Tokenizer, prompt: Sequence[int], answers: Sequence[Sequence[int]]
) -> list[dict[str, float]]:
    """Raw rewards by objective, of each answer to one prompt, both as their tokens read without special ones."""
    prompt_text = tokenizer.decode(prompt, skip_special_tokens=True)
    texts = [tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]
    rows = scorer.score([prompt_text] * len(texts), texts)
    return [dict(zip(scorer.names, map(float, row), strict=True)) for row in rows]
