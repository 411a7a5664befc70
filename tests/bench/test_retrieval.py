"""The retrieval workload in its small size."""

import pytest

from jaxrec.bench import retrieval
from jaxrec.bench.settings import Settings


def test_small_run_counts_users_and_measures_the_recall_of_the_index():
    pytest.importorskip("usearch", reason="needs the extra `ann`")
    report = retrieval.run(Settings(repeats=1, scale="small"))
    assert report["variants"].keys() == {retrieval.EXACT, *retrieval.EXPANSIONS}
    assert all(value > 0 for value in report["users_per_second"].values())
    assert all(0.9 <= found <= 1 for found in report["recall"].values())
