"""The arithmetic of tables: true of every ranking, false of tables that no ranking can give."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxrec.eval.identities import impossibilities
from jaxrec.eval.metrics import BEYOND, all_metrics, mean_metrics
from jaxrec.eval.references import expected_at_random

KS = (5, 10, 20)


@given(st.lists(st.one_of(st.integers(1, 30), st.just(BEYOND)), min_size=1, max_size=40))
def test_hold_for_every_ranking_of_one_target(ranks):
    ranks = np.asarray(ranks)[:, None]
    assert impossibilities(mean_metrics(all_metrics(ranks, np.ones(len(ranks), int), KS)), single_target=True) == []


@given(st.integers(0, 2**31))
def test_hold_for_rankings_of_many_targets(seed):
    rng = np.random.default_rng(seed)
    ranks = np.sort(rng.permuted(np.tile(np.arange(1, 40), (7, 1)), axis=1)[:, :6], axis=1)
    assert impossibilities(mean_metrics(all_metrics(ranks, np.full(7, 6), KS)), single_target=False) == []


def test_hold_for_the_closed_form_of_a_random_order():
    assert impossibilities(expected_at_random(np.asarray([100, 40]), np.asarray([1, 1]), KS), single_target=True) == []


def test_a_published_row_that_no_ranking_can_give():
    """M3BSR (Table 2, Kuaishou): GRU4Rec's ndcg@10 is a tenth of the least, M3BSR's ndcg falls from 10 to 20."""
    sentences = impossibilities({"hit@10": 0.0853, "ndcg@10": 0.0021}, single_target=True, slack=5e-5)
    assert sentences == ["ndcg@10 = 0.0021 is below 0.02466"]
    falling = {"hit@10": 0.3, "hit@20": 0.31, "ndcg@10": 0.163, "ndcg@20": 0.1612}
    assert any("ndcg@20 - ndcg@10 = -0.0018 is not between" in s for s in impossibilities(falling, True, slack=5e-5))


def test_each_identity_can_fail():
    right = {"hit@5": 0.2, "recall@5": 0.2, "ndcg@5": 0.1, "mrr@5": 0.1, "hit@10": 0.3, "recall@10": 0.3,
             "ndcg@10": 0.13, "mrr@10": 0.11}  # fmt: skip
    assert impossibilities(right, single_target=True) == []
    for wrong in ({"hit@5": 1.2}, {"hit@10": 0.1}, {"ndcg@5": 0.21}, {"recall@5": 0.19}, {"mrr@5": 0.03},
                  {"mrr@10": 0.09}, {"ndcg@10": 0.2}, {"ndcg@10": 0.11}):  # fmt: skip
        assert impossibilities(right | wrong, single_target=True), wrong
