"""Is one system better than another, or is it the choice of users and seeds? Paired tests and corrections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SIGNIFICANT = 0.05
"""Below this a difference gets the star of the papers' tables."""


class Spread(NamedTuple):
    """Mean and sample deviation (over n - 1) over seeds; the deviation is None for one seed."""

    mean: float
    deviation: float | None


def spread(values: Sequence[float]) -> Spread:
    """Mean and deviation of one value a seed."""
    mean = float(np.mean(values, dtype=np.float64))
    return Spread(mean, float(np.std(values, ddof=1, dtype=np.float64)) if len(values) > 1 else None)


def confidence_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of two values or more, one a seed, by Student's t with n - 1 degrees of freedom."""
    from scipy.special import stdtrit

    mean, deviation = spread(values)
    if deviation is None:
        raise ValueError("values: found one, allowed: two or more")
    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * deviation / len(values) ** 0.5
    return mean - half, mean + half


class Difference(NamedTuple):
    """Mean difference over users, its standard error, and the two-sided p-value of the paired t-test."""

    mean: float
    standard_error: float
    p_value: float


def paired_difference(left: np.ndarray, right: np.ndarray) -> Difference:
    """How much more left is than right, both [n] in the same order of users; an error of 0 for one user."""
    difference = np.asarray(left, np.float64) - right
    error = float(np.std(difference, ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else 0.0
    return Difference(float(np.mean(difference)), error, paired_t_test(left, right))


def paired_t_test(left: np.ndarray, right: np.ndarray) -> float:
    """Two-sided p-value of the paired t-test over users, both [n]; 1 where no user differs or there is one user."""
    from scipy.special import stdtr

    difference = np.asarray(left, np.float64) - right
    if len(difference) < 2 or not np.any(difference):
        return 1.0
    error = np.std(difference, ddof=1) / np.sqrt(len(difference))
    if error == 0.0:
        return 0.0
    return float(2.0 * stdtr(len(difference) - 1, -abs(np.mean(difference)) / error))


def wilcoxon_test(left: np.ndarray, right: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test over users, both [n]; users without a difference fall out."""
    from scipy import stats

    difference = np.asarray(left, np.float64) - right
    difference = difference[difference != 0]
    if not len(difference):
        return 1.0
    return float(np.asarray(stats.wilcoxon(difference))[1])


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of a family of m tests, corrected by Holm (1979): the i-th smallest times m - i + 1, kept in order."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors), 1.0)
    result = np.empty(len(p_values))
    result[order] = corrected
    return result.tolist()
