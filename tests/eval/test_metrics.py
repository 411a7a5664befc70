"""Metrics against ir-measures and against examples worked by hand."""

import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from jaxrec.eval.metrics import BEYOND, all_metrics, coverage, mean_metrics

MEASURES = {"recall": R, "hit": Success, "ndcg": nDCG, "precision": P, "mrr": RR, "map": AP}
KS = (1, 3, 5, 10)


def ranks_array(rows, width=12):
    """Ragged ranks, padded."""
    ranks = np.full((len(rows), width), BEYOND, np.int32)
    for row, values in enumerate(rows):
        ranks[row, : len(values)] = sorted(values)
    return ranks


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(1, 25), min_size=1, max_size=12), min_size=1, max_size=4))
def test_equal_ir_measures(rows):
    ours = all_metrics(ranks_array(rows), np.asarray([len(row) for row in rows]), KS)
    judged = {f"u{u}": {f"d{rank}": 1 for rank in row} for u, row in enumerate(rows)}
    run = {f"u{u}": {f"d{rank}": 100.0 - rank for rank in range(1, 26)} for u in range(len(rows))}
    wanted = {measure @ k: f"{name}@{k}" for name, measure in MEASURES.items() for k in KS}
    seen = 0
    for result in ir_measures.iter_calc(list(wanted), judged, run):
        assert ours[wanted[result.measure]][int(result.query_id[1:])] == pytest.approx(result.value, abs=1e-9)
        seen += 1
    assert seen == len(wanted) * len(rows)


def test_a_worked_example():
    # Three targets at ranks 1 and 4 and behind the last cut-off; lists of 5.
    values = mean_metrics(all_metrics(ranks_array([{1, 4}]), np.asarray([3]), (5,)))
    assert values["recall@5"] == pytest.approx(2 / 3)
    assert values["hit@5"] == 1
    assert values["precision@5"] == pytest.approx(2 / 5)
    assert values["mrr@5"] == 1
    assert values["map@5"] == pytest.approx((1 + 2 / 4) / 3)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert values["ndcg@5"] == pytest.approx((1 + 1 / math.log2(5)) / ideal)


def test_ideal_is_cut_at_k():
    values = all_metrics(ranks_array([{1, 2}]), np.asarray([9]), (2,))
    assert values["ndcg@2"] == pytest.approx(1)
    assert values["recall@2"] == pytest.approx(2 / 9)
    assert values["map@2"] == pytest.approx(2 / 9)


def test_coverage_counts_items_once_and_no_padding():
    lists = np.asarray([[0, 1, 2], [1, 3, -1]])
    assert coverage(lists, 10, 1) == 2 / 10
    assert coverage(lists, 10, 3) == 4 / 10
