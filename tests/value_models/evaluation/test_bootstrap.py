from __future__ import annotations

import numpy as np
import pytest

from value_models.evaluation.bootstrap import Interval, interval, means, resamples


def test_the_first_resample_is_the_sample_and_a_seed_gives_the_same_again() -> None:
    shares = resamples(7, 50, seed=3)
    assert shares.shape == (51, 7)
    assert shares[0] == pytest.approx(1 / 7)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert (resamples(7, 50, seed=3) == shares).all()
    assert (resamples(7, 50, seed=4) != shares).any()


def test_means_of_resamples() -> None:
    per_prompt = np.array([[1.0, 5.0], [2.0, 2.0]])  # two points, two prompts
    shares = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert means(shares, per_prompt).tolist() == [[3.0, 2.0], [1.0, 2.0]]
    assert means(shares, per_prompt[..., None]).shape == (2, 2, 1)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=(1, 400))
    found = interval(means(resamples(400, 4000, 0), values)[:, 0])
    assert found.estimate == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.08)


def test_pairing_takes_out_what_prompts_differ_by() -> None:
    hard = np.random.default_rng(1).normal(scale=10, size=200)
    arms = means(resamples(200, 500, 0), np.array([hard, hard + 1]))
    difference = interval(arms[:, 1] - arms[:, 0])
    assert difference[:3] == pytest.approx((1, 1, 1))
    assert interval(arms[:, 1]).high - interval(arms[:, 1]).low > 1


@pytest.mark.parametrize(("low", "high", "sign"), [(0.1, 0.2, 1), (-0.1, 0.2, 0), (-0.2, -0.1, -1), (0.0, 1.0, 0)])
def test_sign(low: float, high: float, sign: int) -> None:
    assert Interval(0.0, low, high).sign == sign
