"""Whole runs of two processes through the main command, beside one process with two devices.

The losses of the first steps, the final metrics, a checkpoint of two that one goes on with and the other way round, and
one process killed in the middle. Slow; the short form of it is test_two_processes.py.
"""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxrec.train.metrics_log import read_metrics
from tests.distributed.gangs import ROOT, ends, environment, start
from tests.test_sealr_run import TINY

FEW_USERS = ("--data.filter.min-events", "90", "--model.dim", "8", "--model.num-heads", "2", "--model.max-length", "4")
FEW_STEPS = ("--model.id-dim", "4", "--model.modality.num-steps", "3", "--model.behavior.num-steps", "3")
RUNS = {
    "lmmrec": ("lmmrec_steam", "--train.batch-size", "256", "--model.base.dim", "16", "--model.num-prototypes", "8"),
    "m3bsr": ("m3bsr_sample", "--train.batch-size", "64", *FEW_USERS, *FEW_STEPS),
    "uim": ("uim_sample", "--train.batch-size", "64"),
}
LOGGED = ("--train.log-every", "1", "--train.eval-every", "1", "--train.patience", "0")
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
pytestmark = [pytest.mark.slow, pytest.mark.multiprocess, pytest.mark.timeout(3600)]


def words(name, workdir, epochs, *flags):
    config, *own = RUNS[name]
    config_file = str(ROOT / "configs" / f"{config}.py")
    run = ["-m", "jaxrec.launch", "--config", config_file, "--workdir", str(workdir), "--train.epochs", str(epochs)]
    return [*run, *LOGGED, *own, *flags]


def alone(name, workdir, epochs, *flags):
    """One process with two devices."""
    command = [sys.executable, *words(name, workdir, epochs, *flags)]
    done = subprocess.run(
        command, env=environment(**TWO_DEVICES, **QUICK), capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stderr


def together(name, workdir, epochs, *flags):
    found = ends(start(words(name, workdir, epochs, *flags), 2, **QUICK))
    assert [status for status, _ in found] == [0, 0], found
    return found


def losses(workdir):
    return np.asarray(
        [line["metrics"]["loss"] for line in read_metrics(workdir / "metrics.jsonl") if "loss" in line["metrics"]]
    )


def final(workdir):
    record = json.loads((workdir / "result.json").read_text())
    return {f"{name}/{key}": value for name, one in record["protocols"].items() for key, value in one["test"].items()}


def same(workdir, expected, tolerance):
    found, wanted = final(workdir), final(expected)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=tolerance), name


def stop_after_some_steps(name, workdir, epochs, devices_of_one):
    """A run that is asked to stop (SIGTERM to one process), once it has logged ten steps; it saves first."""
    command = words(name, workdir, epochs)
    if devices_of_one:
        processes = [
            subprocess.Popen(
                [sys.executable, *command], env=environment(**TWO_DEVICES, **QUICK), stderr=subprocess.PIPE, text=True
            )
        ]
    else:
        processes = start(command, 2, **QUICK)
    wait_for_steps(workdir, 10, processes)
    processes[-1].send_signal(signal.SIGTERM)
    found = ends(processes)
    assert {status for status, _ in found} == {143}, found


def wait_for_steps(workdir, count, processes):
    while len(read_metrics(workdir / "metrics.jsonl")) < count:
        assert all(process.poll() is None for process in processes), ends(processes)
        time.sleep(0.05)


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_compute_what_one_does_with_two_devices(name, tmp_path):
    alone(name, tmp_path / "one", 2)
    _, (_, errors) = together(name, tmp_path / "two", 2)
    assert "epoch" not in errors  # the first alone speaks
    assert len(losses(tmp_path / "one")) >= 20
    np.testing.assert_allclose(losses(tmp_path / "two")[:20], losses(tmp_path / "one")[:20], rtol=1e-5)
    same(tmp_path / "two", tmp_path / "one", 1e-3)
    assert json.loads((tmp_path / "two" / "result.json").read_text())["devices"]["processes"] == 2


def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    alone("lmmrec", tmp_path / "whole", 2)
    stop_after_some_steps("lmmrec", tmp_path / "first two", 2, devices_of_one=False)
    alone("lmmrec", tmp_path / "first two", 2)
    stop_after_some_steps("lmmrec", tmp_path / "first one", 2, devices_of_one=True)
    together("lmmrec", tmp_path / "first one", 2)
    for folder in ("first two", "first one"):
        np.testing.assert_allclose(losses(tmp_path / folder), losses(tmp_path / "whole"), rtol=1e-5)
        same(tmp_path / folder, tmp_path / "whole", 1e-3)


@pytest.mark.parametrize("victim", [0, 1])
def test_one_is_killed_and_the_restart_ends_as_if_nothing_had_happened(victim, tmp_path):
    together("lmmrec", tmp_path / "whole", 2)
    processes = start(words("lmmrec", tmp_path / "killed", 2, "--train.checkpoint-every-seconds", "0.5"), 2, **QUICK)
    wait_for_steps(tmp_path / "killed", 20, processes)
    processes[victim].kill()
    found = ends(processes, timeout=100)  # the time after which a silent process counts as dead
    status, errors = found[1 - victim]
    assert status == 3, found
    told = f"jaxrec: error: process {victim} of 2 died, so process {1 - victim} stops too; "
    assert errors.splitlines()[-1] == told + "the same command goes on from the last checkpoint"
    assert "Traceback" not in errors
    together("lmmrec", tmp_path / "killed", 2)
    np.testing.assert_array_equal(losses(tmp_path / "killed"), losses(tmp_path / "whole"))
    same(tmp_path / "killed", tmp_path / "whole", 0)


SMALL_RETRIEVER = """
import dataclasses, pathlib
from jaxrec.config import load_config


def get_config():
    sample = load_config(pathlib.Path({sample!r}))
    return dataclasses.replace(
        sample,
        model=dataclasses.replace(sample.model, dim=8, max_length=8),
        train=dataclasses.replace(sample.train, epochs=1, batch_size=64, log_every=1),
    )
"""


def test_the_lists_of_a_language_model_are_made_by_the_first_while_the_other_waits(tmp_path):
    retriever = tmp_path / "retriever.py"
    retriever.write_text(SMALL_RETRIEVER.format(sample=str(ROOT / "configs" / "sasrec_sample.py")))

    def run(name):
        config, workdir, made = ROOT / "configs" / "sealr_sample.py", tmp_path / name, tmp_path / f"made by {name}"
        run = ["-m", "jaxrec.launch", "--config", str(config), "--workdir", str(workdir), "--model.out", str(made)]
        # Of so many users some have their target among the candidates.
        users = ("--model.candidates.count", "60", "--model.ranking.user-limit", "64")
        return [*run, *TINY, *users, "--model.candidates.retriever-config", str(retriever)]

    done = subprocess.run(
        [sys.executable, *run("one")], env=environment(**TWO_DEVICES, **QUICK), capture_output=True, text=True,
        timeout=1500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = ends(start(run("two"), 2, **QUICK))
    assert [status for status, _ in found] == [0, 0], found
    assert found[1][1] == ""  # the first alone speaks
    assert final(tmp_path / "one")["retrieved/hit@10"] > 0
    same(tmp_path / "two", tmp_path / "one", 1e-3)
    one, two = (next((tmp_path / f"made by {name}").rglob("metrics.jsonl")).parent for name in ("one", "two"))
    np.testing.assert_allclose(losses(two)[:20], losses(one)[:20], rtol=1e-5)
    same(two, one, 1e-3)
    assert json.loads((two / "result.json").read_text())["devices"]["processes"] == 2


def test_what_is_made_before_training_is_made_once(tmp_path):
    config, made = str(ROOT / "configs" / "precompute_sample.py"), str(tmp_path / "made")
    command = ["bash", str(ROOT / "launch" / "local.sh"), "2", "--module", "precompute", "--config", config]
    done = subprocess.run(
        [*command, "--out", made, "--steps", "motivations", "embeddings"], env=environment(PYTHON=sys.executable),
        cwd=tmp_path, capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line.split(",")[0] for line in done.stdout.splitlines() if ", made by " in line]
    assert told == ["motivations", "embeddings"]
