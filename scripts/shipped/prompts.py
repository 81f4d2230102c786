"""Prompts for rollouts and for measuring steering: openings of dialogues that end with the user.

Openings, not windows: a chat begins at its first turn and so did training. One prompt per
dialogue comes before any second one, so the first few hundred of a file are independent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

from scripts.shipped.dialogues import Dialogue, Message

MAX_TURNS = 5
MAX_TOKENS = 200
SHARE_LIMIT = {"sgd": 0.35, "tm4_coffee": 0.03}


def make_prompts(
    dialogues: Iterable[Dialogue],
    count: int,
    rng: random.Random,
    token_count: Callable[[list[Message]], int],
) -> list[list[Message]]:
    """Up to `count` message lists of 1 to 5 turns, each at most 200 tokens by `token_count`.

    `SHARE_LIMIT` caps a corpus at its share of `count`; other corpora fill up in proportion to
    their dialogues.
    """
    limit = {corpus: int(share * count) for corpus, share in SHARE_LIMIT.items()}
    queue = [(dialogue, _lengths(dialogue, rng)) for dialogue in dialogues]
    rng.shuffle(queue)
    prompts: list[list[Message]] = []
    taken: dict[str, int] = {}
    while queue and len(prompts) < count:
        again = []
        for dialogue, lengths in queue:
            length = next(lengths, None)
            if length is None or len(prompts) >= count:
                continue
            again.append((dialogue, lengths))
            if taken.get(dialogue.corpus, 0) >= limit.get(dialogue.corpus, count):
                continue
            prompt = _prefix(dialogue, length, rng)
            if token_count(prompt) <= MAX_TOKENS:
                prompts.append(prompt)
                taken[dialogue.corpus] = taken.get(dialogue.corpus, 0) + 1
        queue = again
    return prompts


def _lengths(dialogue: Dialogue, rng: random.Random) -> Iterator[int]:
    """Numbers of turns after which an answer of the assistant follows, in random order."""
    step = 1 if dialogue.symmetric else 2
    lengths = list(range(1, min(MAX_TURNS, len(dialogue.turns) - 1) + 1, step))
    rng.shuffle(lengths)
    return iter(lengths)


def _prefix(dialogue: Dialogue, length: int, rng: random.Random) -> list[Message]:
    assistant = length % 2  # the speaker of turn `length` answers
    system = dialogue.system_for(assistant, rng)
    messages = dialogue.messages(assistant, system)
    return messages[: length + (system is not None)]
