"""Purity, its bounds and k-means against cases whose answers are known by hand or by trying everything."""

import itertools

import numpy as np
import pytest

from jaxrec.inspection.purity import k_means, purity


def one_hot(labels, width):
    return np.asarray(labels)[..., None] == np.arange(width)


def test_groups_by_label_are_pure_and_one_group_has_its_most_frequent_label():
    labels = one_hot([[0, 0, 1, 1, 2, 2], [3, 3, 3, 3, 1, 0]], 4)
    groups = np.array([[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 1, 2]])
    found = purity(groups, labels, 3)
    assert (found.purity, found.best, found.num_items) == (1.0, 1.0, 12)
    assert found.single == pytest.approx((2 + 4) / 12)
    assert found.single <= found.chance < 0.9


def test_places_without_an_item_count_nowhere():
    labels = one_hot([[0, 0, 1, 1]], 2)
    with_gap = purity(np.array([[-1, 0, 1, 1]]), labels, 2)
    assert (with_gap.purity, with_gap.num_items) == (1.0, 3)
    assert with_gap.single == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="at least one item"):
        purity(np.full((1, 4), -1), labels, 2)


def test_chance_is_what_random_groups_of_the_same_sizes_reach():
    rng = np.random.default_rng(1)
    labels = one_hot(rng.integers(0, 5, (400, 12)), 5)
    groups = rng.integers(0, 3, (400, 12))
    groups[:, :3] = -1
    found = purity(groups, labels, 3)
    assert found.purity == pytest.approx(found.chance, abs=0.01)
    # With few items a group, chance is far above the share of the most frequent label of all.
    assert found.chance > 0.45 > labels.any(1).mean() / 5


@pytest.mark.parametrize("several", [False, True])
def test_the_best_is_the_best_of_all_splits(several):
    rng = np.random.default_rng(2)
    labels = rng.random((3, 6, 4)) < 0.4 if several else one_hot(rng.integers(0, 4, (3, 6)), 4)
    real = np.ones((3, 6), bool)
    real[0, 0] = False
    splits = np.array(list(itertools.product(range(2), repeat=6)))
    total = 0
    for user in range(3):
        scores = []
        for split in splits:
            groups = np.where(real[user], split, -1)
            scores.append(sum(labels[user, groups == group].sum(0).max(initial=0) for group in range(2)))
        total += max(scores)
    found = purity(np.where(real, 0, -1), labels, 2)
    assert found.best == pytest.approx(total / real.sum())


def test_k_means_finds_groups_that_lie_apart_and_leaves_gaps_alone():
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(50, 3, 5)) * 5
    wanted = rng.integers(0, 3, (50, 15))
    vectors = np.take_along_axis(centres, wanted[..., None], 1) + rng.normal(0, 0.01, (50, 15, 5))
    real = rng.random((50, 15)) < 0.8
    groups = k_means(vectors, real, 3)
    assert (groups[~real] == -1).all()
    assert ((groups >= 0) & (groups < 3))[real].all()
    assert purity(groups, one_hot(wanted, 3), 3).purity == 1.0
    assert np.array_equal(groups, k_means(vectors, real, 3))


def test_k_means_of_fewer_items_than_groups_is_no_error():
    vectors = np.ones((2, 4, 3))
    real = np.array([[False, False, False, True], [False, False, False, False]])
    groups = k_means(vectors, real, 3)
    assert groups[0, 3] >= 0
    assert (groups[1] == -1).all()
