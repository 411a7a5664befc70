"""The item softmax workload in its small size: all variants give the same loss and gradients."""

import os

import pytest

from jaxrec.bench import item_softmax
from jaxrec.bench.settings import Settings


def test_small_run_reports_equal_results():
    report = item_softmax.run(Settings(repeats=1, scale="small"))
    assert report["checks"] == {"equal to plain JAX, 211 items": True}
    assert report["variants"].keys() == {"jaxrec, 1,009 items", "jaxrec, 211 items", "plain JAX, 211 items"}
    assert report["ratios"].keys() == {"plain JAX, 211 items"}


def test_pytorch_finds_the_same():
    python = os.environ.get("JAXREC_TORCH_PYTHON")
    if python is None:
        pytest.skip("JAXREC_TORCH_PYTHON does not name an interpreter that has PyTorch")
    report = item_softmax.run(Settings(repeats=1, scale="small", torch_python=python))
    assert len(report["checks"]) == 3
    assert all(report["checks"].values())
