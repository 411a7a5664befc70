"""sampled99: whom it draws, and that it ranks as a plain loop over the same candidates would."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.eval.candidates import draw_candidates
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.references import expected_at_random, popularity_reference, random_reference
from jaxrec.eval.sampled_ranking import SampledRanking
from jaxrec.models.base import Context
from tests.eval.given import GivenScores, GivenVectors, build_dataset, random_dataset, random_params

CONFIG = EvalConfig(k=(1, 5, 10, 20), protocols=("sampled99",))


@pytest.fixture
def dataset(rng):
    made = random_dataset(rng, num_users=80, num_items=400, single_target=True)
    clicks = dataclasses.replace(made.train, item_ids=rng.permutation(made.train.item_ids))
    return dataclasses.replace(made, auxiliary=clicks)


def had(dataset, user):
    parts = (dataset.train, dataset.valid, dataset.test, dataset.auxiliary)
    return {int(item) for part in parts for item in part.item_ids[part.user_ids == user]}


def test_candidates_are_distinct_and_new_to_the_user(dataset):
    drawn = draw_candidates(dataset, "test", 0)
    assert drawn.negative_ids.shape == (80, 99)
    for user, negatives in zip(drawn.user_ids, drawn.negative_ids, strict=True):
        assert len(set(negatives.tolist())) == 99
        assert not had(dataset, user) & set(negatives.tolist())
        assert negatives.min() >= 0
        assert negatives.max() < 400
    assert dict(zip(dataset.test.user_ids.tolist(), dataset.test.item_ids.tolist(), strict=True)) == dict(
        zip(drawn.user_ids.tolist(), drawn.target_ids.tolist(), strict=True)
    )


def test_candidates_follow_from_the_seed_alone(dataset):
    first = draw_candidates(dataset, "test", 0)
    assert first.sha256 == draw_candidates(dataset, "test", 0).sha256
    assert first.sha256 != draw_candidates(dataset, "test", 1).sha256


def test_every_unseen_item_is_as_likely():
    dataset = build_dataset(3000, 120, ([(u, u % 7) for u in range(3000)], [], [(u, 10) for u in range(3000)]))
    counts = np.bincount(draw_candidates(dataset, "test", 3).negative_ids.ravel(), minlength=120)
    assert counts[10] == 0
    assert counts[11:].sum() + counts[:10].sum() == 3000 * 99
    # 118 unseen items for 99 places; five deviations of a binomial count.
    expected, deviation = 3000 * 99 / 118, np.sqrt(3000 * 99 / 118 * 19 / 118)
    assert np.abs(counts[11:] - expected).max() < 5 * deviation


def test_a_small_catalogue_gives_what_it_has():
    dataset = build_dataset(2, 30, ([(0, 1), (0, 2), (1, 3)], [], [(0, 5), (1, 5)]))
    drawn = draw_candidates(dataset, "test", 0)
    assert [set(row[row >= 0].tolist()) for row in drawn.negative_ids] == [
        set(range(30)) - {1, 2, 5}, set(range(30)) - {3, 5}
    ]  # fmt: skip
    ranking = SampledRanking(dataset, "test", EvalConfig(k=(1, 5)))
    assert ranking.num_candidates.tolist() == [28, 29]
    expected = expected_at_random(np.asarray([28, 29]), np.asarray([1, 1]), (1, 5))
    assert random_reference(ranking) == pytest.approx(expected)


@pytest.mark.parametrize("model", [GivenVectors(), GivenScores()])
@pytest.mark.parametrize("levels", [None, 1])
def test_equals_a_plain_loop(rng, dataset, model, levels):
    params = random_params(rng, dataset, num_interests=2, levels=levels)
    ranking = SampledRanking(dataset, "test", CONFIG)
    found = ranking.evaluate(model, params, Context())
    scores = np.einsum("ukd,id->uki", params["user"], params["item"]).max(1) + np.asarray(params["bias"])
    drawn = ranking.candidates
    for row, user in enumerate(drawn.user_ids):
        mine = scores[user, drawn.target_ids[row]]
        rank = 1 + np.sum(scores[user, drawn.negative_ids[row]] >= mine)
        for k in CONFIG.k:
            assert found.per_user[f"hit@{k}"][row] == (rank <= k)
            assert found.per_user[f"ndcg@{k}"][row] == pytest.approx((rank <= k) / np.log2(rank + 1))
    assert found.num_users == 80
    assert found.masked == ()


def test_a_constant_scorer_finds_nothing_and_nan_is_no_hit(dataset, rng):
    params = jax.tree.map(jnp.zeros_like, random_params(rng, dataset))
    ranking = SampledRanking(dataset, "test", CONFIG)
    assert ranking.evaluate(GivenVectors(), params, Context()).metrics["hit@20"] == 0
    params["bias"] = jnp.full_like(params["bias"], jnp.nan)
    assert ranking.evaluate(GivenVectors(), params, Context()).metrics["hit@20"] == 0


def test_popularity_is_ranked_under_the_same_candidates(dataset):
    counts = np.bincount(dataset.train.item_ids, minlength=400)
    ranking = SampledRanking(dataset, "test", CONFIG)
    found = popularity_reference(ranking, Context(item_counts=counts)).metrics
    drawn = ranking.candidates
    hits = (counts[drawn.negative_ids] >= counts[drawn.target_ids][:, None]).sum(axis=1) < 10
    assert found["hit@10"] == pytest.approx(hits.mean())


def test_several_targets_and_long_lists_are_refused(rng):
    many = random_dataset(rng)
    with pytest.raises(UserError, match=r"eval.protocols: sampled99 ranks one target a user, but \d+ users have"):
        SampledRanking(many, "test", CONFIG)
    with pytest.raises(UserError, match=r"eval\.k: 200 is larger than the 100 candidates"):
        SampledRanking(many, "test", EvalConfig(k=(10, 200)))
