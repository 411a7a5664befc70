"""Sequence models through the main command: the same run on 1, 2 and 8 devices, and interrupted and resumed.

`kill -9` at random moments is tests/test_kill_and_resume.py.
"""

import json
import os
import pathlib
import signal

import jax
import numpy as np
import pytest

from jaxrec import launch
from jaxrec.command_line import run_command
from jaxrec.train.metrics_log import MetricsLog, read_metrics

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"
FEW_USERS = ["--data.filter.min-events", "90", "--eval.cold-start-events", "100"]
SMALL = [
    *FEW_USERS, "--train.batch-size", "64", "--train.patience", "0", "--train.log-every", "1", "--model.dim", "8",
    "--model.num-heads", "2", "--model.max-length", "4",
]  # fmt: skip
FLAGS = {
    "sasrec_sample": ["--model.num-layers", "1", "--model.hidden-dim", "16"],
    "m3bsr_sample": [
        "--model.id-dim", "4", "--model.modality.num-steps", "3", "--model.behavior.num-steps", "3",
    ],
}  # fmt: skip
NAMES = ["sasrec_sample", pytest.param("m3bsr_sample", marks=pytest.mark.slow)]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def _programs_that_run_for_moments(tmp_path, monkeypatch):
    """No data but the sample; and no time spent on making fast what runs for moments."""
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    monkeypatch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def start(name, workdir, devices, *more):
    arguments = ["--config", str(CONFIGS / f"{name}.py"), "--workdir", str(workdir), *SMALL, *FLAGS[name]]
    return run_command(launch.main, [*arguments, "--devices.count", str(devices), *more])


def start_and_interrupt(monkeypatch, step, *arguments):
    """Start a run that is told to end when it has logged the step, as by its scheduler."""
    write = MetricsLog.write

    def interrupt(self, **line):
        write(self, **line)
        if line["step"] == step and line["split"] == "train":
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", interrupt)
        with pytest.raises(SystemExit):
            start(*arguments)


def lines(workdir):
    """What a run has logged, but for what follows from the clock."""
    found = read_metrics(workdir / "metrics.jsonl")
    for line in found:
        del line["seconds"]
        line["metrics"].pop("examples_per_second", None)
    return found


def losses(workdir):
    return np.array([line["metrics"]["loss"] for line in lines(workdir) if line["split"] == "train"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("devices", [8, pytest.param(2, marks=pytest.mark.slow)])
def test_the_first_twenty_losses_do_not_depend_on_the_devices(name, devices, tmp_path, monkeypatch):
    for count in (1, devices):
        start_and_interrupt(monkeypatch, 20, name, tmp_path / str(count), count)
    one, several = losses(tmp_path / "1"), losses(tmp_path / str(devices))
    assert np.isfinite(one).all()
    assert len(set(one)) == len(one) == 20
    np.testing.assert_allclose(several, one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("devices", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_interrupted_and_resumed_it_ends_with_the_same_bits(name, devices, tmp_path, monkeypatch, capsys):
    """Interrupted within an epoch, so that order, negatives, noise and dropout must go on where they stood."""
    epochs = ["--train.epochs", "2"]
    assert start(name, tmp_path / "whole", devices, *epochs) == 0
    start_and_interrupt(monkeypatch, 7, name, tmp_path / "parts", devices, *epochs)
    assert not (tmp_path / "parts" / "result.json").exists()
    assert losses(tmp_path / "parts").shape == (7,)
    assert start(name, tmp_path / "parts", devices, *epochs) == 0
    assert "resumed from the checkpoint of step 7" in capsys.readouterr().err
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    whole, parts = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "parts"))
    assert whole["protocols"] == parts["protocols"]
    assert whole["best_step"] == parts["best_step"]
    for file in ("per_user.npz", "topk.npz"):
        with np.load(tmp_path / "whole" / file) as expected, np.load(tmp_path / "parts" / file) as actual:
            assert set(actual.files) == set(expected.files)
            assert all(actual[name].tobytes() == expected[name].tobytes() for name in expected.files)
