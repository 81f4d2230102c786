"""Simple: Flesch's reading ease (1948), short words in short sentences.

    (206.835 - 1.015 words / sentences - 84.6 syllables / words) / 100, held to -1 ... 1.25

About 0.9 for children's books, 0.3 for a contract. Syllables are counted by groups of vowels, which is right for about
nine English words in ten. It sees length and nothing else: a rare short word is simple, nonsense is too; a list without
full stops is one long sentence unless it has line breaks, which count as ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from value_models.prompts import Prompt
from value_models.rewards.manners.wording import words

LOWEST, HIGHEST = -1.0, 1.25
_END = re.compile(r"[.!?]+|\n+")
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(r"(?<![aeiouyl])e$|(?<=[aeiouy])le$|(?<![aeioudt])ed$|(?<![aeioucghsxz])es$")


class Simple:
    name = "simple"
    description = "short words in short sentences (Flesch reading ease / 100, -1 to 1.25)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return [reading_ease(response) for response in responses]


def reading_ease(text: str) -> float:
    """0 of a text without words."""
    found = words(text)
    if not found:
        return 0.0
    sentences = sum(bool(words(part)) for part in _END.split(text))
    ease = 206.835 - 1.015 * len(found) / sentences - 84.6 * sum(map(syllables, found)) / len(found)
    return min(HIGHEST, max(LOWEST, ease / 100))


def syllables(word: str) -> int:
    """At least one; a silent ending counts as none."""
    return max(1, len(_VOWELS.findall(_SILENT.sub("", word))))
