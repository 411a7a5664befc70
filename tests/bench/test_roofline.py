"""Bounds by memory or by arithmetic, formulas of work by hand, and what is measured around every workload."""

import numpy as np
import pytest

from jaxrec.bench import item_softmax, measure, memory, mf_steps, prefix_scoring, ranking, reverse_chain
from jaxrec.bench.roofline import Ceilings, Work, measure_ceilings, rooflines, work_entry
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import LightGCNWorkload


def test_the_larger_quotient_is_the_bound():
    entry = {
        "work": work_entry({"a": Work(8e9, 1e9), "b": Work(1e9, 8e9)}),
        "variants": {"a": {"median": 4.0}, "b": {"median": 1.0}, "peer": {"median": 9.0}},
    }
    found = rooflines(entry, Ceilings(operations=4e9, bytes=1e10))
    assert found["a"] == {"bound_seconds": 2.0, "limit": "arithmetic", "share": 0.5}
    assert found["b"] == {"bound_seconds": 0.8, "limit": "memory", "share": 0.8}
    assert found.keys() == {"a", "b"}
    assert Ceilings(1, 5).highest(Ceilings(2, 3)) == Ceilings(2, 5)


def test_work_by_hand():
    step = LightGCNWorkload(num_users=2, num_items=3, num_pairs=4, dim=8, num_layers=3).step_work
    assert step == Work(4 * (2 * 2 * 4 * 8) + 12 * 40, 4 * (2 * 4 * 4 + 2 * 40 * 4) + 7 * 40 * 4)
    assert item_softmax.Case(10, 3, dim=2).work == Work(3 * 2 * 3 * 10 * 2, 2 * 10 * 2 * 4)
    assert ranking.RankingWorkload(5, 7, 2).work == Work(2 * 5 * 7 * 2, 4 * 12 * 2)
    assert mf_steps.MFWorkload(batch_size=2, dim=4, num_steps=5).work == Work(6 * 120, 2 * 120 * 4)
    assert reverse_chain.chain_work(3, 2) == Work(15 * 2 * 3 * (6 * 8 + 8 * 2), 4 * 64 + 3 * 3 * 2 * 4)
    config, length = prefix_scoring.decoder_of("small")
    work = prefix_scoring.request_work(config, length)
    layer = 4 * 32 * 32 + 3 * 32 * config.intermediate_size + 2 * 32
    assert work[prefix_scoring.SINGLE].operations == 2 * (2 * layer * 20 + 64 * 32)
    assert work[prefix_scoring.OURS].operations == 2 * (2 * layer * 80 + 64 * 32 * 61)


def test_ceilings_and_peak_stand_beside_what_a_workload_reports():
    class Allocates:
        DESCRIPTION = "an array"

        @staticmethod
        def run(settings):
            np.ones(40_000_000, np.float32).sum()  # 160 MB
            times = {"seconds": [1.0], "median": 1.0, "min": 1.0}
            return {"variants": {"ours": times}, "work": work_entry({"ours": Work(1.0, 1.0)}), "checks": {}}

    entry = measure.measure(Allocates(), Settings(1, scale="small"))
    assert entry["ceilings"]["bytes"] > 0
    assert entry["roofline"]["ours"]["share"] < 1
    if entry["peak_rss_bytes"] is None:
        pytest.skip("the system keeps one peak for the whole process")
    assert entry["peak_rss_bytes"] > 160e6
    assert memory.begin_peak()
    assert memory.peak_bytes() < entry["peak_rss_bytes"] - 100e6


def test_ceilings_are_positive():
    found = measure_ceilings("small")
    assert found.operations > 0
    assert found.bytes > 0
