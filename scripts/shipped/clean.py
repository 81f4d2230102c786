"""Light cleaning of one chat turn, so that what the small model learns to say reads well.

A third of the self-dialogue corpus was typed in lower case without final punctuation. A model of
a few million parameters has no room for two orthographies: spelling "i" and "I" apart costs
probability at every token and the answers look careless. Cleaning is therefore orthographic only
(spaces, quotes, apostrophes, capitals, the last full stop); words are never changed.
"""

from __future__ import annotations

import re
import unicodedata

_CHARACTERS = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u2032": "'", "\u00b4": "'", "`": "'",
        "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-", "\u2026": "...",
        "\ufeff": None, "\u200b": None, "\ufffd": None,
    }
)  # fmt: skip
_ESCAPES = re.compile(r"\\[rnt]")
_SPACE_BEFORE = re.compile(r" +([,.!?;:])(?=\s|$)")
_LONE_I = re.compile(r"(?<![\w.'])i(?=(?:'(?:m|ll|ve|d|s))?(?:[\s,.!?;:]|$))(?!\.\w)")
_BARE_I_FORMS = re.compile(r"\b([Ii])(m|ve)\b(?!['-])")
_LOST_APOSTROPHE = re.compile(
    r"\b(do|did|does|is|was|are|were|could|would|should|have|has|had|ca)n(t)\b"
    r"|\b(that|what|there)(s)\b|\b(you|they)(re|ve|ll)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?:^[\"'(]?|(?<=[^.][.!?])(?<!\.\w\.) +[\"'(]?)[a-z]")
_ASKS = re.compile(
    r"^(?:(?:so|and|but|oh|well|ok|okay|yes|yeah|no|hey|wow|hi|hello)[ ,]+)*"
    r"(?:(?:do|does|did|have|has|is|are|was|were|can|could|would|will|should|isn't|don't|didn't)"
    r" (?:you|it|that|this|he|she|they|the|i|we|there|your|any|anyone)"
    r"|(?:what|who|where|when|why|how|which)(?:'s)?"
    r" (?:is|are|was|were|do|does|did|about|would|can|could|should|kind|type|so|come|many|one|your"
    r"|else|movie|song|team|time)|what's|who's|how's|where's)\b",
    re.IGNORECASE,
)


def clean_turn(text: str) -> str:
    """One turn with straight quotes, single spaces, sentence capitals, "I" and a final stop."""
    text = unicodedata.normalize("NFC", text).translate(_CHARACTERS)
    text = _ESCAPES.sub(" ", text)
    text = "".join(c if c.isprintable() else " " for c in text)
    text = _SPACE_BEFORE.sub(r"\1", " ".join(text.split()))
    text = _BARE_I_FORMS.sub(r"I'\2", text)
    text = _LONE_I.sub("I", text)
    text = _LOST_APOSTROPHE.sub(_restore_apostrophe, text)
    text = _SENTENCE.sub(lambda match: match.group().upper(), text)
    return _close(text.rstrip(" ,"))


def _restore_apostrophe(match: re.Match[str]) -> str:
    negated, t, noun, s, pronoun, verb = match.groups()
    return f"{negated}n'{t}" if negated else f"{noun or pronoun}'{s or verb}"


def _close(text: str) -> str:
    """Ends a turn that ends in a word: with ? if its last sentence opens like a question."""
    if not text or not text[-1].isalnum():
        return text
    last_sentence = re.split(r"[.!?]\s+", text)[-1]
    return text + ("?" if _ASKS.match(last_sentence) else ".")
