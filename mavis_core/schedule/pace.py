"""How much of new prompts a step may read while answers are being written, so that nobody's stream stutters.

A step that reads a part of a prompt beside decoding rows takes longer, and every one of those rows waits for it. The
part is made as large as keeps the step below ``stretch`` times a step without prompts. What a token of a prompt costs
depends on model, machine and how long the texts are, so the part follows what steps took: after each that was filled
it becomes what would have fitted, but it shrinks faster than it grows, since a step takes now more and now less. A step
without prompts is measured when there is none to go by, and again from time to time, because rows come and go.
Torch-free.
"""

from __future__ import annotations

FIRST = 32  # tokens of the first part that is read beside decoding rows
FEWEST = 8  # prompts go on, whatever a step takes
GROWTH = 1.25  # of the part, at most, from one step to the next
AGAIN = 16  # steps with prompts, after which one without is measured again


class Pace:
    """Args:
    stretch: above 1; inf sets no limit.
    most: tokens of a prompt that any step may read.
    """

    def __init__(self, stretch: float, most: int) -> None:
        self._stretch = stretch
        self._most = most
        self._room = min(FIRST, most)
        self._plain: float | None = None  # seconds of a step that only decodes
        self._age = 0  # steps with prompts since it was measured
        self._rows = 0  # that decoded then

    def room(self, decoding: int, joining: int = 1) -> int:
        """Tokens of prompts that the next step may read beside ``decoding`` tokens of rows that decode.

        Args:
            joining: rows that wait for their first token and have a place; where they are more than those that decode,
                as in a burst of requests, the step is stretched by so much more, since each waits like each other.
        """
        if decoding == 0 or self._stretch == float("inf"):
            return self._most
        if self._plain is None or self._age >= AGAIN or not self._alike(decoding):
            return 0
        return min(self._room * max(joining, decoding) // decoding, self._most)

    def took(self, decoding: int, prompts: int, seconds: float) -> None:
        """What a step took: ``decoding`` tokens of rows that decode, ``prompts`` of prompts."""
        if decoding == 0:
            return
        if prompts == 0:
            if self._plain is not None and self._alike(decoding):
                seconds = (self._plain + min(seconds, 2 * self._plain)) / 2  # one slow step says little
            self._plain, self._age, self._rows = seconds, 0, decoding
            return
        self._age += 1
        if self._plain is not None and 2 * prompts > self._room:
            allowed, used = (self._stretch - 1) * self._plain, seconds - self._plain
            fits = prompts * allowed / used if used > 0 else float("inf")
            self._room = round(min(max(fits, self._room / 2, FEWEST), GROWTH * self._room, self._most))

    def _alike(self, decoding: int) -> bool:
        """Whether a step without prompts was measured with about as many rows."""
        return self._rows <= 2 * decoding and decoding <= 2 * self._rows
