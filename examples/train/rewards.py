"""A reward of one's own: any function from prompts and responses to one number each.

mavis fit examples/train/fit.yaml
"""

from __future__ import annotations

from collections.abc import Sequence

from value_models.prompts import Prompt


def personal(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
    """Speaks of itself: how often the response says I, me or my, up to three times."""
    own = {"i", "i'm", "i've", "i'll", "i'd", "me", "my", "mine"}
    return [min(3.0, sum(word.strip(".,!?").lower() in own for word in text.split())) for text in responses]
