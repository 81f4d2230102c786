"""Formal: articles and prepositions against pronouns, contractions, interjections and exclamation marks.

    (articles + prepositions - pronouns - contractions - interjections - exclamation marks) / words     at least -1

The part of Heylighen and Dewaele's formality score (1999) that needs no tagger: formal text names things and says how
they stand to each other, informal text leans on who speaks and who listens. What it does not see: nouns, verbs and the
choice of words ("kids" for "children"). A text without any pronoun scores high however clumsy it is, and one that is
asked about the user ("your knee") scores low however polite.
"""

from __future__ import annotations

from collections.abc import Sequence

from value_models.prompts import Prompt
from value_models.rewards.manners.wording import count, listed, share, words

ARTICLES = frozenset(("a", "an", "the"))
PREPOSITIONS = listed(
    """
    about above across after against along among around at before behind below beneath beside besides between beyond
    by concerning considering despite during except for from in inside into near of off on onto outside over per
    regarding since through throughout toward towards under underneath until up upon via with within without
    """
)
PRONOUNS = listed(
    """
    anybody anyone anything everybody everyone everything he her hers herself him himself his i it its itself me
    mine my myself nobody nothing our ours ourselves she somebody someone something that their theirs them
    themselves these they this those us we what who whom whose you your yours yourself yourselves
    """
)
INTERJECTIONS = listed(
    """
    ah aha aw bye cool gosh ha haha hello hey hi hmm huh lol nah nope oh ok okay oops ouch phew please sure thanks
    ugh wow yay yeah yep yes yikes yo yum
    """
)
_SHORTENED = ("n't", "'re", "'ve", "'ll", "'m", "'d")
_WITH_IS = listed(
    """
    cuz dunno gimme gonna gotta he's here's how's it's kinda lemme let's she's sorta that's there's wanna what's
    when's where's who's why's y'all
    """
)


class Formal:
    name = "formal"
    description = "formal wording (articles and prepositions less pronouns, contractions and exclamations, per word)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return [_score(response) for response in responses]


def _score(text: str) -> float:
    found = words(text)
    formal = count(found, ARTICLES) + count(found, PREPOSITIONS)
    informal = count(found, PRONOUNS) + count(found, INTERJECTIONS) + sum(map(_contracted, found)) + text.count("!")
    return max(-1.0, share(formal - informal, found))


def _contracted(word: str) -> bool:
    return word.endswith(_SHORTENED) or word in _WITH_IS
