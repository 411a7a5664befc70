"""Recommendations against a plain sort, and what a user's mistakes get."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.base import Context
from jaxrec.serve.recommender import Recommender
from tests.eval.given import GivenScores, GivenVectors, random_dataset, random_params


@pytest.fixture(scope="module")
def setting():
    rng = np.random.default_rng(3)
    dataset = random_dataset(rng)
    params = random_params(rng, dataset, num_interests=2)
    return dataset, params, Recommender(dataset, GivenVectors(), params, Context())


def plain_list(dataset, params, user, k, allowed, exclude_seen=True):
    scores = np.asarray((params["user"][user] @ params["item"].T).max(0) + params["bias"])
    seen = set()
    for part in (dataset.train, dataset.valid, dataset.test):
        seen |= set(part.item_ids[part.user_ids == user].tolist())
    items = [i for i in range(dataset.num_items) if i in allowed and not (exclude_seen and i in seen)]
    return [(f"i{i}", scores[i]) for i in sorted(items, key=lambda i: -scores[i])[:k]]


def assert_same(found, expected):
    assert [item for item, _ in found] == [item for item, _ in expected]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], rtol=1e-5, atol=1e-5)


def test_equals_a_plain_sort_for_every_user(setting, monkeypatch):
    dataset, params, recommender = setting
    everything = set(range(dataset.num_items))
    users = [f"u{u}" for u in reversed(range(dataset.num_users))]
    monkeypatch.setattr(recommender, "_block", 7)
    for exclude_seen in (True, False):
        lists = recommender.recommend(users, 10, exclude_seen=exclude_seen)
        for user, found in zip(users, lists, strict=True):
            assert_same(found, plain_list(dataset, params, int(user[1:]), 10, everything, exclude_seen))


def test_allow_and_deny(setting):
    dataset, params, recommender = setting
    found = recommender.recommend(["u5"], 20, allow=[f"i{i}" for i in range(30)], deny=["i3", "i4"])[0]
    expected = plain_list(dataset, params, 5, 20, set(range(30)) - {3, 4})
    assert_same(found, expected)
    assert recommender.recommend(["u5"], 3, allow=[]) == [[]]


def test_a_list_ends_where_items_do(setting):
    dataset, _, recommender = setting
    counts = [len(found) for found in recommender.recommend(["u1", "u2"], dataset.num_items)]
    for user, count in zip((1, 2), counts, strict=True):
        parts = (dataset.train, dataset.valid, dataset.test)
        seen = set().union(*(part.item_ids[part.user_ids == user].tolist() for part in parts))
        assert count == dataset.num_items - len(seen)


def test_similar_items(setting):
    _, params, recommender = setting
    vectors = np.asarray(params["item"])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit[7]
    order = [i for i in np.argsort(-cosines) if i != 7][:5]
    found = recommender.similar_items("i7", 5)
    assert [item for item, _ in found] == [f"i{i}" for i in order]
    assert found[0][1] == pytest.approx(cosines[order[0]], abs=1e-5)


def test_an_unknown_user_is_refused_or_gets_what_is_popular(setting):
    dataset, _, recommender = setting
    with pytest.raises(UserError, match=r"user 'u599' is not among the 60 users of the data; nearest: .*u59"):
        recommender.recommend(["u1", "u599"], 5)
    lists = recommender.recommend(["u1", "nobody"], 5, unknown="popularity")
    counts = np.bincount(dataset.train.item_ids, minlength=dataset.num_items)
    assert lists[0] == recommender.recommend(["u1"], 5)[0]
    assert [score for _, score in lists[1]] == sorted(counts, reverse=True)[:5]


@pytest.mark.parametrize("k", [0, -1, 91])
def test_k_is_checked(setting, k):
    recommender = setting[2]
    with pytest.raises(UserError, match=rf"k: {k} is not between 1 and the 90 items"):
        recommender.recommend(["u1"], k)


def test_unknown_items_are_named(setting):
    recommender = setting[2]
    for call in (
        lambda: recommender.similar_items("j7", 3),
        lambda: recommender.recommend(["u1"], 3, allow=["j7"]),
        lambda: recommender.recommend(["u1"], 3, deny=["j7"]),
    ):
        with pytest.raises(UserError, match="item 'j7' is not among the 90 items"):
            call()


def test_an_item_without_a_vector_has_no_neighbours(setting):
    dataset, params, _ = setting
    recommender = Recommender(dataset, GivenVectors(), params | {"item": jnp.zeros((90, 8))}, Context())
    with pytest.raises(UserError, match="no vector"):
        recommender.similar_items("i7", 5)


def test_a_user_without_training_still_gets_a_list(setting):
    dataset, params, _ = setting
    fresh = dataclasses.replace(dataset, train=dataset.train.take(dataset.train.user_ids != 4))
    assert len(Recommender(fresh, GivenVectors(), params, Context()).recommend(["u4"], 5)[0]) == 5


def test_a_model_that_scores_by_itself_is_served_alike(setting):
    dataset, params, recommender = setting
    direct = Recommender(dataset, GivenScores(), params, Context())
    users = ["u3", "u0", "u17"]
    for options in ({}, {"exclude_seen": False}, {"deny": ["i1", "i4"]}, {"allow": ["i5", "i6", "i7"]}):
        expected, actual = recommender.recommend(users, 6, **options), direct.recommend(users, 6, **options)
        for mine, theirs in zip(actual, expected, strict=True):
            assert [item for item, _ in mine] == [item for item, _ in theirs]
            np.testing.assert_allclose([score for _, score in mine], [score for _, score in theirs], rtol=1e-5)
    with pytest.raises(UserError, match="without item vectors"):
        direct.similar_items("i3", 5)
