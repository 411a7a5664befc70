"""Two processes read their shares of shards, and learn what one process with two devices does."""

import json
import subprocess
import sys

import numpy as np
import pytest

from jaxrec.train.metrics_log import read_metrics
from tests.data.shards.making import sharded
from tests.distributed.gangs import ROOT, ends, environment, start

FLAGS = [
    *("-m", "jaxrec.launch", "--config", str(ROOT / "configs" / "bprmf_ml1m_small.py"), "--data.path", "shards"),
    *("--data.filter.user-core", "3", "--data.filter.item-core", "0", "--data.ratio", "3", "1", "1"),
    *("--data.order", "random", "--model.dim", "8", "--train.epochs", "3", "--train.batch-size", "64"),
    *("--train.log-every", "1", "--eval.save-topk", "5", "--eval.k", "5", "10"),
]


def losses(folder):
    lines = [line["metrics"] for line in read_metrics(folder / "metrics.jsonl")]
    return np.asarray([metrics["loss"] for metrics in lines if "loss" in metrics])


@pytest.mark.multiprocess
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_processes_learn_from_shards_what_one_with_two_devices_does(tmp_path, monkeypatch):
    sharded(tmp_path)
    monkeypatch.chdir(tmp_path)
    two_devices = environment(XLA_FLAGS="--xla_force_host_platform_device_count=2")
    subprocess.run([sys.executable, *FLAGS, "--workdir", "one"], env=two_devices, check=True, capture_output=True)
    found = ends(start([*FLAGS, "--workdir", "two"], 2))
    assert [status for status, _ in found] == [0, 0], found
    one, two = (losses(tmp_path / name) for name in ("one", "two"))
    assert len(one) >= 20
    np.testing.assert_allclose(one, two, rtol=1e-5)
    tests = [
        json.loads((tmp_path / name / "result.json").read_text())["protocols"]["full"]["test"]
        for name in ("one", "two")
    ]
    np.testing.assert_allclose(list(tests[0].values()), list(tests[1].values()), atol=1e-3)
