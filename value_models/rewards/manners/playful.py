"""Playful: marks of play (exclamation marks, emoji, laughter, words of fun and nonsense), per word.

It sees that a text wants to be fun, not that it is: a dry joke scores nothing, "Fun!!!" a lot. Enthusiasm shares the
exclamation marks, so `cheerful` moves it too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from value_models.prompts import Prompt
from value_models.rewards.manners.wording import count, listed, phrases, share, words

FUN = listed(
    """
    abracadabra adventure amuse amusing bam banter boing boo boogie bounce bouncy bubbly buddy cartoon cheeky
    chuckle chuckles clown clowns comedy comic crazy cuckoo dance dancing dragon dragons fairies fairy fun funky
    funnier funny fuss game games giggle giggles giggling giggly gobble goofy grin hilarious hooray hop hopping
    humor humorous humour imagine jiggle joke jokes joking jolly jump kidding laugh laughing laughs laughter lively
    magic magical mischief mischievous monkey monster ninja noodle noodles oops party pirate pirates play played
    playful playfully playing prank pranks pretend pun puns puppet puzzle riddle riddles robot sassy silly singing
    skip sneaky spooky sprinkle superhero surprise swoosh tada tease teasing tickle tickles tongue treasure trick
    tricks unicorn unicorns whee whimsical whimsy whoa whoopsie whoosh wiggle wiggly wink witty wizard woohoo wow
    yay yippee yum yummy zany zap zoom
    """
)
_LAUGHTER = re.compile(r"\b(?:(?:ha){2,}|(?:he){2,}|(?:ho){2,}|lol|lmao)\b")
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]|[:;]-?[)DPp]")
_DRAWN_OUT = re.compile(r"([a-z])\1{2,}")


class Playful:
    name = "playful"
    description = "marks of play (exclamation marks, emoji, laughter, words of fun: their number per word, at most 1)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return [_score(response) for response in responses]


def _score(text: str) -> float:
    found = words(text)
    of_words = count(found, FUN) + phrases(found, _LAUGHTER) + sum(bool(_DRAWN_OUT.search(word)) for word in found)
    return min(1.0, share(of_words + text.count("!") + len(_EMOJI.findall(text)), found))
