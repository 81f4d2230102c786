"""The token MDP of ``test_exactness``, solved exactly: policies as tables, their Q, their reward and their KL."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from tests.mavis_core.test_exactness import VOCAB, reference, rewards
from tests.mavis_core.test_exactness import ended as ended
from tests.mavis_core.test_exactness import histories as histories

Text = tuple[int, ...]
Policy = Callable[[Text], np.ndarray]
"""text -> (V,) probabilities."""
Values = dict[Text, float]
TEXTS = list(histories())
OPEN_TEXTS = [text for text in TEXTS if not ended(text)]
REFERENCE = {text: np.array(reference(text)) for text in OPEN_TEXTS}


def reward(text: Text) -> float:
    return float(rewards()["mix"][text])


@cache
def base(text: Text) -> np.ndarray:
    return np.asarray(np.exp(REFERENCE[text]))


def tilted(values: Values, beta: float) -> Policy:
    """p(a | s) ~ ref(a | s) exp(beta V(s + a)); a missing value is 0, the mean."""

    @cache  # it is asked several times, about every text each time
    def policy(text: Text) -> np.ndarray:
        scores = REFERENCE[text] + beta * np.array([values.get((*text, token), 0.0) for token in range(VOCAB)])
        p = np.exp(scores - scores.max())
        return np.asarray(p / p.sum())

    return policy


def evaluate(policy: Policy, zeta: float = 0.0, path: bool = False, of: Callable[[Text], float] = reward) -> Values:
    """Expected R - zeta * KL from every text on, exactly: ``future`` counts what is still to pay, ``path`` also what
    led to the text (of this policy, one-sample along the text).
    """
    found: Values = {}
    for text in TEXTS:
        if ended(text):
            found[text] = of(text)
        else:
            p = policy(text)
            each = [
                found[*text, token] - zeta * (math.log(p[token]) - REFERENCE[text][token]) for token in range(VOCAB)
            ]
            found[text] = float(p @ each)
    if path:
        found = {text: value - zeta * paid(policy, text) for text, value in found.items()}
    return found


def paid(policy: Policy, text: Text) -> float:
    """log p(text) / ref(text), nats."""
    return float(sum(math.log(policy(text[:i])[token]) - REFERENCE[text[:i]][token] for i, token in enumerate(text)))


def outcome(policy: Policy, of: Callable[[Text], float] = reward) -> tuple[float, float]:
    """(mean reward, KL to the base policy in nats), both of whole texts."""
    expected = evaluate(policy, of=of)[()]
    return expected, expected - evaluate(policy, 1.0, of=of)[()]


def objective(policy: Policy, beta: float) -> float:
    """E[R] - KL / beta, what the soft optimum maximises."""
    return evaluate(policy, 1 / beta)[()]


def soft_optimum(beta: float, of: Callable[[Text], float] = reward) -> Values:
    """log E_ref[exp(beta R) | text] / beta: the values whose tilt is the optimum of E[R] - KL / beta."""
    found: Values = {}
    for text in TEXTS:
        if ended(text):
            found[text] = of(text)
        else:
            each = [r + beta * found[*text, token] for token, r in enumerate(REFERENCE[text])]
            found[text] = math.log(sum(map(math.exp, each))) / beta
    return found


def best_at_kl(nats: float) -> float:
    """The most reward that any policy earns for ``nats``: of the soft optima, the one that spends them."""
    low, high = 1e-3, 64.0
    for _ in range(25):
        middle = (low + high) / 2
        spent = outcome(tilted(soft_optimum(middle), middle))[1]
        low, high = (middle, high) if spent < nats else (low, middle)
    return outcome(tilted(soft_optimum(low), low))[0]
