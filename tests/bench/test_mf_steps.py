"""The workload of small steps in its small size: scan and loop end at the same tables, and PyTorch too."""

import os

import pytest

from jaxrec.bench import mf_steps
from jaxrec.bench.settings import Settings


def test_small_run_reports_equal_tables():
    report = mf_steps.run(Settings(repeats=1, scale="small"))
    assert report["checks"] == {"tables_equal": True}
    assert report["variants"].keys() == {mf_steps.OURS, mf_steps.LOOP}
    assert report["programs"][mf_steps.OURS]["kernels"] > 0


def test_pytorch_finds_the_same():
    python = os.environ.get("JAXREC_TORCH_PYTHON")
    if python is None:
        pytest.skip("JAXREC_TORCH_PYTHON does not name an interpreter that has PyTorch")
    report = mf_steps.run(Settings(repeats=1, scale="small", torch_python=python))
    assert report["relative_errors"].keys() == {mf_steps.OURS, mf_steps.LOOP, mf_steps.TORCH}
    assert report["checks"] == {"tables_equal": True}
