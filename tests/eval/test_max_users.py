"""A sample of users: the same in every run, ranked as they are among all."""

import numpy as np

from jaxrec.eval.users import ranked_users
from tests.train.tiny import tiny_dataset


def test_drawn_users_have_the_lists_that_they_have_among_all():
    dataset = tiny_dataset()
    every, some = ranked_users(dataset, "test", True), ranked_users(dataset, "test", True, max_users=7)
    assert len(some.user_ids) == 7
    assert some.num_without_target == every.num_without_target
    for row, user in enumerate(some.user_ids.tolist()):
        place = int(np.flatnonzero(every.user_ids == user)[0])
        for kind in ("target", "masked"):
            ours, theirs = (
                getattr(users, f"{kind}_items")[slice(*getattr(users, f"{kind}_indptr")[at : at + 2])]
                for users, at in ((some, row), (every, place))
            )
            np.testing.assert_array_equal(ours, theirs)
    fewer = ranked_users(dataset, "test", True, max_users=3)
    assert set(fewer.user_ids) < set(some.user_ids)
    whole = ranked_users(dataset, "test", True, max_users=1000)
    np.testing.assert_array_equal(whole.user_ids, every.user_ids)
