"""The ranking workload in its small size: both of our variants give the same metrics."""

import os

import pytest

from jaxrec.bench import ranking
from jaxrec.bench.settings import Settings


def test_small_run_reports_equal_metrics():
    report = ranking.run(Settings(repeats=1, scale="small"))
    assert report["checks"] == {"metrics_equal": True}
    assert report["variants"].keys() == {ranking.COUNTED, ranking.LISTED}
    metrics = report["metrics"][ranking.COUNTED]
    assert 0.1 < metrics["ndcg@10"] < 0.9
    assert report["metrics"][ranking.LISTED] == metrics


def test_pytorch_finds_the_same_metrics():
    python = os.environ.get("JAXREC_TORCH_PYTHON")
    if python is None:
        pytest.skip("JAXREC_TORCH_PYTHON does not name an interpreter that has PyTorch")
    report = ranking.run(Settings(repeats=1, scale="small", torch_python=python))
    assert report["checks"]["metrics_equal"]
    assert len(report["metrics"]) == 4
