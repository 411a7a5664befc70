"""The approximate index beside exact scores: what it finds, and what it says of what it finds."""

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.base import ItemVectors
from jaxrec.serve.approximate import ApproximateItems, recall

pytest.importorskip("usearch", reason="needs the extra `ann`")

USERS, ITEMS, DIM = 20, 600, 8


def case():
    """Vectors of very different lengths, with a bias that changes the order."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(ITEMS, DIM)) * rng.uniform(0.1, 3.0, (ITEMS, 1))
    return rng.normal(size=(USERS, 3, DIM)), ItemVectors(items.astype(np.float32), rng.normal(size=ITEMS) * 2)


def exact_lists(users, items, count):
    scores = np.einsum("bkd,id->bki", users, items.vectors).max(1) + items.bias
    order = np.argsort(-scores, axis=1)[:, :count]
    return order, np.take_along_axis(scores, order, 1)


def test_it_finds_nearly_all_of_the_exact_lists_and_scores_are_exact():
    users, items = case()
    exact, scores = exact_lists(users, items, 10)
    found, found_scores = ApproximateItems(items).search(users, 10, expansion=200)
    assert recall(found, exact) >= 0.98
    full = np.einsum("bkd,id->bki", users, items.vectors).max(1) + items.bias
    np.testing.assert_allclose(found_scores, np.take_along_axis(full, found, 1), rtol=1e-5)
    assert (np.diff(found_scores, axis=1) <= 0).all()
    assert all(len(set(row)) == 10 for row in found.tolist())
    np.testing.assert_allclose(found_scores[:, 0], scores[:, 0], rtol=1e-5)


def test_one_vector_alone_is_searched_like_many():
    users, items = case()
    index = ApproximateItems(items)
    many = index.search(users[:, :1], 5)[0]
    np.testing.assert_array_equal(index.search(users[3:4, :1], 5)[0], many[3:4])


def test_a_list_longer_than_the_catalogue_ends_with_nothing():
    users, items = case()
    few = ItemVectors(items.vectors[:4], items.bias[:4])
    found, scores = ApproximateItems(few).search(users[:2], 7)
    assert np.sort(found[:, :4], axis=1).tolist() == [[0, 1, 2, 3]] * 2
    assert (found[:, 4:] == -1).all()
    assert np.isneginf(scores[:, 4:]).all()
    assert ApproximateItems(few).search(users[:0], 7)[0].shape == (0, 7)


def test_recall_counts_what_the_exact_lists_hold():
    exact = np.array([[1, 2, 3, 4], [5, 6, -1, -1]])
    assert recall(np.array([[4, 9, 1], [6, 8, 7]]), exact) == pytest.approx(3 / 6)
    assert recall(exact, exact) == 1.0


def test_vectors_that_are_no_numbers_are_refused_by_name():
    _, items = case()
    broken = items.vectors.copy()
    broken[7, 2] = np.nan
    with pytest.raises(UserError, match="item 7 "):
        ApproximateItems(ItemVectors(broken, items.bias))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="extra `ann`"):
        ApproximateItems(case()[1])
