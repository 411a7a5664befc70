"""Two processes compute what one does with two devices, and go on with each other's checkpoints."""

import numpy as np
import pytest

from jaxrec.train.metrics_log import read_metrics
from tests.distributed.gangs import ROOT, ends, start
from tests.distributed.tiny_run import trainer

SCRIPT = str(ROOT / "tests" / "distributed" / "tiny_run.py")


def metrics(folder):
    """One row a line of the log: step, epoch, loss or score."""
    lines = read_metrics(folder / "metrics.jsonl")
    return np.asarray([[line["step"], line["metrics"].get("loss", line["metrics"].get("score"))] for line in lines])


@pytest.mark.multiprocess
@pytest.mark.timeout(1500)
def test_two_go_on_with_what_one_began_and_one_with_what_two_left(tmp_path):
    trainer(tmp_path / "whole", epochs=6, devices=2).run()
    trainer(tmp_path / "parts", epochs=2, devices=1).run()
    (status, errors), (killed, _) = ends(start([SCRIPT, str(tmp_path / "parts"), "4"], 2))
    line = "process 1 of 2 died, so process 0 stops too; the same command goes on from the last checkpoint"
    assert (status, killed) == (3, -9), errors
    assert errors.splitlines()[-1:] == [f"jaxrec: error: {line}"]
    stopped = {(tmp_path / "parts" / f"stopped-{first}").read_text() for first in (True, False)}
    assert len(stopped) == 1  # both after the same step, soon after process 1 alone was asked to
    status, step = map(int, stopped.pop().split())
    assert status == 143
    assert 3 * 4 <= step < 4 * 4
    assert len(metrics(tmp_path / "parts")) == 4 * 5  # of each epoch four steps and a validation
    trainer(tmp_path / "parts", epochs=6, devices=8).run()
    trainer(tmp_path / "parts" / "alone", epochs=6, devices=2).run()
    for folder in (tmp_path / "parts", tmp_path / "parts" / "alone"):
        np.testing.assert_allclose(metrics(folder), metrics(tmp_path / "whole"), rtol=1e-5)
