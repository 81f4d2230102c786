"""Where one row stands in its grammar: which tokens may come next, and whether the answer is complete. Torch-free.

Stop tokens are ours, not the grammar's, whatever the tokenizer calls them:

- a stop token (the model's own or a requested one) may be drawn only where the answer is complete, so an answer that
  ends with one is valid. A requested stop token that the grammar also wants as text is never drawn as text;
- where stop tokens are banned (``min_tokens``, the first token of a guided row) they stay banned as long as anything
  else can follow. Where nothing else can, the ban yields: the row ends with "stop";
- ``ignore_eos`` bans the model's own stop tokens likewise;
- a complete answer that nothing can follow ends at once, without a stop token.

Host work per token: one mask (30 to 100 µs is usual) and one advance, by ``grammar/steps.py``, which bounds what they
cost.
"""

from __future__ import annotations

from collections.abc import Iterable

from mavis_core.grammar.steps import Steps

# Of the vocabulary. Free strings leave 0.97 of it and ASCII text 0.53 or more; emails, URIs and other formats at most
# 0.37; keys, punctuation, digits and enums 0.02 (measured with vocabularies of 4, 49 and 262 thousand tokens).
FREE_SHARE = 0.4


class Matcher:
    """One row's place in a compiled grammar.

    Args:
        steps: the place at the start of the answer.
        eos: stop tokens as the grammar library knows them.

    Attributes:
        error: why the row cannot go on, or None.
        ended: whether only stop tokens were allowed at the last draw.
    """

    def __init__(self, steps: Steps, eos: Iterable[int]) -> None:
        self._steps = steps
        self._eos = tuple(eos)
        self.error: str | None = None
        self.ended = False
        self._begun = False
        self._bits: bytes | None = None  # what may come next, once it was asked for

    def copy(self) -> Matcher:
        """A second matcher at the same place, which moves independently."""
        return Matcher(self._steps.copy(), self._eos)

    @property
    def complete(self) -> bool:
        """Whether the answer so far is complete."""
        return self._steps.complete

    @property
    def exhausted(self) -> bool:
        """Whether nothing can follow."""
        return self._steps.exhausted

    def accepts(self, token: int) -> bool:
        """Whether the grammar allows this token next; slow, and what ``allowed`` is tested against."""
        return self._steps.accepts(token)

    @property
    def free(self) -> bool:
        """Whether the next token is free text: at least ``FREE_SHARE`` of the vocabulary may come next."""
        bits = bytearray(self._next())
        for token in self._eos:
            bits[token >> 3] &= ~(1 << (token & 7))
        return int.from_bytes(bits).bit_count() >= FREE_SHARE * 8 * len(bits)

    def allowed(self, stop_ids: tuple[int, ...], banned: bool) -> bytearray:
        """What may be drawn next, one bit per token (token t is bit t % 8 of byte t // 8), at least one set.

        After an ``error`` everything is allowed: the row ends with whatever is drawn.

        Args:
            stop_ids: tokens that end this row.
            banned: whether they are to be avoided now.
        """
        bits = bytearray(self._next())
        complete = self.complete
        if self._failed():
            return bytearray(b"\xff") * len(bits)
        for token in (*self._eos, *stop_ids):
            bits[token >> 3] &= ~(1 << (token & 7))
        if complete and not banned:
            _set(bits, stop_ids)
        if bits.count(0) < len(bits):
            return bits
        if complete:
            self.ended = True
            _set(bits, stop_ids or self._eos)
            return bits
        self.error = "structure: no token of the vocabulary can continue the answer (stop_token_ids are not text)"
        return bytearray(b"\xff") * len(bits)

    def begin(self, token: int) -> None:
        """Begin to append a token that was allowed and does not stop the row; another process may do the work."""
        self._steps.advance(token)
        self._begun, self._bits = True, None

    def advance(self, token: int) -> None:
        """Append such a token, or wait until the one that was begun is appended; may set ``error``."""
        if not self._begun:
            self._steps.advance(token)
        self._begun, self._bits = False, None
        self._failed()

    def _next(self) -> bytes:
        if self._bits is None:
            self._bits = self._steps.bits()
        return self._bits

    def _failed(self) -> bool:
        if self._steps.error is not None:
            self.error = f"structure: {self._steps.error}"
        return self.error is not None


def _set(bits: bytearray, tokens: Iterable[int]) -> None:
    for token in tokens:
        bits[token >> 3] |= 1 << (token & 7)
