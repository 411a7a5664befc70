"""The SASRec workload in its small form: what it reports, and that it learns from every target."""

import dataclasses

import numpy as np

from jaxrec.bench.registry import load
from jaxrec.bench.sasrec_step import OURS, SASRecCase, workload_of
from jaxrec.bench.settings import Settings


def test_a_small_run_reports_its_own_form():
    entry = load("sasrec_step").run(Settings(repeats=1, scale="small"))
    assert list(entry["variants"]) == [OURS]
    assert entry["variants"][OURS]["median"] > 0
    assert all(entry["checks"].values())


def test_the_full_workload_has_the_targets_of_short_sequences():
    workload = dataclasses.replace(workload_of("full"), num_items=500)
    lengths = np.array([len(items) - 1 for items in workload.sequences()])
    assert len(lengths) == 1024
    assert lengths.min() >= 3
    assert lengths.max() <= 50
    assert 7 < lengths.mean() < 8.5


def test_the_gradient_reaches_every_parameter():
    loss, gradient = SASRecCase(workload_of("small")).gradient()
    assert np.isfinite(loss)
    assert all(np.any(leaf) for leaf in gradient.values())
    assert "encoder.transformer.layer_1.attention.query_key_value.kernel" in gradient
