"""Who is tuned on, who validates, who is evaluated: disjoint, nested, and by raw ids alone."""

import dataclasses

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.models.sealr_config import RankingConfig, TuningConfig
from jaxrec.ranker.users import divide, halves
from tests.eval.given import build_dataset
from tests.eval.left_out import left_out_dataset


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def dataset(rng):
    return left_out_dataset(rng, num_users=400)


def test_halves_are_whole_and_stay_when_users_are_renumbered(dataset):
    first, second = halves(dataset)
    assert len(first) == len(second) == 200
    assert sorted([*first, *second]) == list(range(400))
    turned = build_dataset(
        400,
        60,
        [
            np.stack([399 - part.user_ids, part.item_ids], axis=1)
            for part in (dataset.train, dataset.valid, dataset.test)
        ],
    )
    users = type(dataset.users)(dataset.users.raw[::-1].copy())
    turned = dataclasses.replace(
        turned,
        **{name: dataclasses.replace(getattr(turned, name), users=users) for name in ("train", "valid", "test")},
    )
    assert users.decode(halves(turned)[0]).tolist() == dataset.users.decode(first).tolist()


def test_shares_are_of_all_users_and_nested(dataset):
    found = {share: divide(dataset, TuningConfig(share=share), RankingConfig()) for share in (0.1, 0.2, 0.5)}
    for share, division in found.items():
        assert len(division.tuning) + len(division.validation) == 400 * share
        assert len(division.validation) == 20 * share
        groups = [set(group.tolist()) for group in (division.tuning, division.validation, division.evaluation)]
        assert len(set.union(*groups)) == sum(map(len, groups)) == 400 * share + 200
    for less, more in ((0.1, 0.2), (0.2, 0.5)):
        assert set(found[less].tuning) < set(found[more].tuning)
        assert set(found[less].validation) < set(found[more].validation)
        assert found[less].evaluation.tolist() == found[more].evaluation.tolist()


def test_limits_take_the_first(dataset):
    every = divide(dataset, TuningConfig(share=0.5), RankingConfig())
    few = divide(dataset, TuningConfig(share=0.5, user_limit=30), RankingConfig(user_limit=7))
    assert len(few.tuning) + len(few.validation) == 30
    assert few.tuning.tolist() == every.tuning[: len(few.tuning)].tolist()
    assert few.validation.tolist() == every.validation[: len(few.validation)].tolist()
    assert few.evaluation.tolist() == every.evaluation[:7].tolist()
    least = divide(dataset, TuningConfig(user_limit=2), RankingConfig())
    assert (len(least.tuning), len(least.validation)) == (1, 1)


def test_too_few_users_and_several_targets_are_refused(rng, dataset):
    with pytest.raises(UserError, match=r"tuning\.share: found 0\.001, which is 0 of 400 users"):
        divide(dataset, TuningConfig(share=0.001), RankingConfig())
    with pytest.raises(UserError, match=r"tuning\.valid_share: found 0\.9, which leaves none of 2"):
        divide(dataset, TuningConfig(user_limit=2, valid_share=0.9), RankingConfig())
    with pytest.raises(UserError, match="has 3 users with a history and two held-out items"):
        halves(left_out_dataset(rng, num_users=3))
    twice = build_dataset(2, 9, ([(0, 0), (1, 1)], [(0, 2), (1, 3)], [(0, 4), (0, 5), (1, 6)]))
    with pytest.raises(UserError, match=r"1 users have several targets in the test part.*leave_one_out"):
        halves(twice)
