"""Paired tests against scipy and an example worked by hand."""

import numpy as np
import pytest
from scipy import stats

from jaxrec.eval.significance import holm, paired_t_test, spread, wilcoxon_test


def test_equal_scipy(rng):
    left = rng.random(50)
    right = left + rng.normal(0.05, 0.2, 50)
    assert paired_t_test(left, right) == pytest.approx(stats.ttest_rel(left, right)[1])
    assert wilcoxon_test(left, right) == pytest.approx(stats.wilcoxon(left, right)[1])


def test_users_without_a_difference():
    values = np.linspace(0, 1, 9)
    assert paired_t_test(values, values) == 1.0
    assert wilcoxon_test(values, values) == 1.0
    assert paired_t_test(values[:1], values[:1] + 1) == 1.0
    assert paired_t_test(values + 0.5, values) < 1e-12


def test_chance_alone_is_rarely_significant(rng):
    found = [paired_t_test(rng.random(40), rng.random(40)) < 0.05 for _ in range(400)]
    assert 0.02 < np.mean(found) < 0.09


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_spread_over_seeds():
    assert spread([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert spread([0.25]) == (0.25, None)
