"""Factual: probability that a text is objective rather than subjective, by the classifier that ships.

A logistic regression over the presence of word 1- and 2-grams, trained by `scripts/shipped/train_factual.py`. The
presence vector is scaled to length one, so a long text is not more extreme than a short one; punctuation and case are
ignored and all digits are one word, because the training text is lower-cased and spaced out and chat is not. What
remains is a dot product, so scoring needs numpy alone:

    p(objective) = sigmoid(bias + sum of weights of the n-grams present / sqrt(their number))

It judges wording, not truth: a false statement stated plainly scores high.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from value_models.prompts import Prompt

SHIPPED = Path(__file__).parent.parent / "shipped" / "subjectivity"
DOMAIN_WORDS = frozenset(
    ("movie", "movies", "film", "films", "cinema", "director", "directed", "screenplay", "script", "documentary",
     "comedy", "drama", "thriller", "performance", "performances", "actor", "actors", "acting", "audience", "audiences")
)  # fmt: skip
"""Words that say "this is about a movie": the training text is, so they carry its source, not its manner."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*|\d")


def ngrams(text: str) -> list[str]:
    """Words and pairs of neighbouring words, lower-case, digits as `0`, without `DOMAIN_WORDS`."""
    found = _WORD.findall(text.lower().replace("’", "'"))
    words = ["0" if word.isdigit() else word for word in found if word not in DOMAIN_WORDS]
    return words + [f"{left} {right}" for left, right in pairwise(words)]


@dataclass(frozen=True)
class SubjectivityClassifier:
    vocabulary: dict[str, int]
    weights: NDArray[np.float32]  # (len(vocabulary),), positive is objective
    bias: float

    @classmethod
    def from_folder(cls, folder: Path) -> SubjectivityClassifier:
        vocabulary: list[str] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocabulary"]
        tensors = load_file(folder / "model.safetensors")
        weights = tensors["weights"].astype(np.float32)
        if len(vocabulary) != len(weights):
            raise ValueError(f"{folder}: {len(vocabulary)} n-grams in config.json but {len(weights)} weights")
        return cls({gram: i for i, gram in enumerate(vocabulary)}, weights, float(tensors["bias"][0]))

    def probability(self, text: str) -> float:
        """Probability of "objective", 0 to 1; a text without any known word gets the bias alone."""
        present = {self.vocabulary[gram] for gram in ngrams(text) if gram in self.vocabulary}
        logit = self.bias
        if present:
            logit += float(self.weights[sorted(present)].sum(dtype=np.float64)) / math.sqrt(len(present))
        return 1 / (1 + math.exp(-logit))


class Factual:
    name = "factual"
    description = "plain statements rather than opinions (probability of 'objective', 0 to 1)"

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        classifier = _shipped()
        return [classifier.probability(response) for response in responses]


@cache
def _shipped() -> SubjectivityClassifier:
    return SubjectivityClassifier.from_folder(SHIPPED)
