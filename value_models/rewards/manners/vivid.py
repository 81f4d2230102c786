"""Vivid: words for what can be seen, heard, smelled, tasted and touched, and comparisons, as a share of all words.

A list of a few hundred such words, and "like a", "as ... as". It sees words, not pictures: a text about paint or
cooking is vivid by its subject, a striking image made of plain words is not noticed, and what is not on the list does
not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from value_models.prompts import Prompt
from value_models.rewards.manners.wording import count, listed, phrases, share, words

SENSED = listed(
    """
    acrid amber aroma aromas aromatic azure bang beam beige bitter bittersweet black blaze blazing blinding bloom
    blooming blossom blossoms blue blush breeze breezy bright bronze brown bumpy burning buttery buzz buzzing
    cascade cascading chill chilly chime chiming chirp chirping citrus clammy clang clatter cloud clouds coarse cold
    colorful colors colour colourful colours cool cozy crackle crackling crackly crash crashing creak creaking
    creamy crimson crisp crispy crumbly crunchy crystal damp dance dancing dappled dark dawn dazzling deafening
    delicious dew dim drenched drift drifting dripping dry dusk earthy echo echoes echoing ember embers emerald
    feathery fizz flame flames flashing flavor flavorful flavors flavour flicker flickering floral fluffy flutter
    fluttering fog fragrance fragrant freezing fresh frost frosty fruity fuzzy garlicky gentle gleam gleaming
    glimmer glimmering glint glinting glisten glistening glitter glittering glossy glow glowing gold golden grainy
    gray green grey gritty gurgle gust hazy hiss hissing honeyed horizon hot howl howling hue hues hum humid humming
    hush hushed icy indigo ivory jagged juicy lavender leaf leaves lukewarm luminous lush melodic melody melt
    melting minty mist misty moist moon moonlight moonlit murmur murmuring musky numb nutty ocean orange pale pastel
    patter pearly peppery petal petals pink plush pop prickly pungent purple purr purring radiant rain rainbow
    raindrops rattle red ring ringing ripe ripple ripples roar roaring rolling rosy rough ruby rumble rumbling
    rustle rustling rusty salty sapphire savory scarlet scent scented scents scorching screech shadow shadows
    shadowy sharp shimmer shimmering shining shiny sigh silence silent silken silky silver silvery sizzle sizzling
    skies sky slick slimy slippery smoky smooth snap snow soaked soft sour sparkle sparkling spicy spiky splash
    splashing squeak squeal stale starlight starry stars sticky storm succulent sugary sun sunlight sunlit sunset
    supple sweet swirl swirling syrupy tang tangy tapestry tart taste tastes tender thick thud thunder thunderous
    tingle tingling tinkle toasty translucent turquoise twilight velvety vibrant violet vivid warm warmth waves wet
    whirl whisper whispering whispers whistle white wind winds woolly yellow zesty
    """
)
_LIKENED = re.compile(r"\blike (?:a|an|the)\b|\bas \w+ as\b|\bas (?:if|though)\b")


class Vivid:
    name = "vivid"
    description = "words of the senses and comparisons (their share of the words)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        return [_score(words(response)) for response in responses]


def _score(found: Sequence[str]) -> float:
    return share(count(found, SENSED) + phrases(found, _LIKENED), found)
