"""Cautious: hedges ("may", "perhaps", "I think", "it depends"), as a share of all words.

The usual hedges of English (Hyland's list, abridged), some of several words, and advice to ask or to check. It counts
words, not care: a reckless claim with a "might" in it scores, a warning in plain words ("never mix these") does not,
and "may" is also a month.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from value_models.prompts import Prompt
from value_models.rewards.manners.wording import count, listed, phrases, share, words

HEDGES = listed(
    """
    almost apparent apparently appear appeared appears approximately arguably assume assumed assumes assuming
    assumption believe believed believes careful carefully caution cautious cautiously could couldn't debatable
    depend depending depends doubt doubtful estimate estimated frequently generally guess however indicate indicates
    largely likely mainly may maybe might mostly normally often partially partly perhaps plausible plausibly
    possibility possible possibly potential potentially presumably probable probably rather relatively roughly seem
    seemed seemingly seems should sometimes somewhat suggest suggests suppose supposedly suspect tend tends typical
    typically uncertain uncertainty unclear unlikely unsure usually varies vary would
    """
)
_PHRASES = re.compile(
    r"\bi (?:think|feel|don't know)\b|\bi(?:'m| am) not (?:sure|certain)\b|\bin (?:general|my opinion)\b"
    r"|\bas far as\b|\bkeep in mind\b|\bmake sure\b|\bbe aware\b|\bconsult (?:a|an|with|your)\b|\bprofessional\b"
    r"|\bin (?:some|most|many) cases\b|\bto (?:some|a certain) (?:extent|degree)\b|\bnot (?:always|necessarily|sure)\b"
)


class Cautious:
    name = "cautious"
    description = "hedged wording ('may', 'perhaps', 'it depends': their share of the words)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return [_score(words(response)) for response in responses]


def _score(found: Sequence[str]) -> float:
    return share(count(found, HEDGES) + phrases(found, _PHRASES), found)
