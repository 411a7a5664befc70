"""The command end to end on the sample: killed and gone on, stopped, with a cell that fails, and its table alone."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from jaxrec import study
from jaxrec.command_line import run_command

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILE = """
from jaxrec.config import Experiment
from jaxrec.data.text_config import TextConfig
from jaxrec.models.bprmf import BPRMFConfig
from jaxrec.models.popularity import PopularityConfig
from jaxrec.studies import Column, Figure, Row, Study
from jaxrec.train.config import DevicesConfig, TrainConfig


def get_study():
    def row(label, model, *against):
        train = TrainConfig(epochs=25, eval_every=1, patience=0, batch_size=256, checkpoint_every_seconds=0.2)
        devices = DevicesConfig(count=1)
        return Row(label, Experiment(model, text=TextConfig(source="none"), train=train, devices=devices), against)

    return Study(
        name="grid",
        title="A grid",
        rows=(row("BPR-MF", BPRMFConfig(dim=8), "popularity"), row("popularity", PopularityConfig())),
        columns=(Column("whole"), Column("long lists", ("--eval.save-topk", "1000"))),
        seeds=(0,),
        metrics=("recall@10", "ndcg@10"),
    )
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    environment = {**os.environ, "JAXREC_CACHE": str(cache), "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}
    environment.pop("JAXREC_DATA", None)
    environment.pop("XLA_FLAGS", None)
    return environment


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "grid.py"
    path.write_text(FILE)
    return path


def start(study_file, workdir, environment):
    command = [sys.executable, "-m", "jaxrec.study", str(study_file), "--workdir", str(workdir), "--jobs", "1"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_training(workdir, process):
    """Until BPR-MF has saved a step: that much must not be lost."""
    for _ in range(1200):
        saved = list(workdir.glob("runs/bprmf-*/checkpoints/[0-9]*"))
        if saved:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError("nothing was saved in a minute")


@pytest.mark.multiprocess
def test_a_grid_is_killed_stopped_gone_on_with_and_becomes_a_table(study_file, tmp_path, environment):
    workdir = tmp_path / "work"

    # kill -9: the child goes on by itself, and holds its folder.
    killed = start(study_file, workdir, environment)
    wait_for_training(workdir, killed)
    killed.kill()
    killed.communicate()

    # The same command waits for it; SIGTERM stops the study. Nothing is lost.
    stopped = start(study_file, workdir, environment)
    line = ""
    while not line.startswith(("waiting for another process: BPR-MF | whole", "started")):
        line = stopped.stderr.readline()
        assert line, stopped.wait()
    stopped.send_signal(signal.SIGTERM)
    _, errors = stopped.communicate(timeout=60)
    assert stopped.returncode == 143, errors
    assert "stopped; the same command goes on from there" in errors
    assert "**Partial.**" in (workdir / "table.md").read_text()

    # And again, to the end: two cells ask for more items than there are, and fail.
    last = start(study_file, workdir, environment)
    _, errors = last.communicate(timeout=240)
    assert last.returncode == 1, errors
    assert errors.count("\nfailed") == 2
    assert "eval.save_topk: found 1000, allowed: at most 600" in errors
    record = json.loads((workdir / "table.json").read_text())
    done = {(cell["row"], cell["column"]) for cell in record["cells"]}
    assert done == {("popularity", "whole"), ("BPR-MF", "whole")}
    assert set(record["failed"]) == {"popularity | long lists | seed 0", "BPR-MF | long lists | seed 0"}
    assert record["columns"][0]["dataset"]["source"] == "sample"
    assert {c["metric"]: c["holm"] is not None for c in record["comparisons"]} == {"recall@10": True, "ndcg@10": True}
    text = (workdir / "table.md").read_text()
    assert "**Built-in sample.**" in text
    assert "2 of 4 cells are missing, 2 of them failed" in text

    # What was interrupted ends where it would have ended: every epoch, once.
    (folder,) = workdir.glob("runs/bprmf-*/result.json")
    result = json.loads(folder.read_text())
    assert result["steps"] == 25 * -(-result["dataset"]["num_interactions"]["train"] // 256)

    # The table alone runs nothing, and says nothing of failures that it did not see.
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("runs/*/result.json")}
    assert run_command(study.main, [str(study_file), "--workdir", str(workdir), "--table-only"]) == 0
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("runs/*/result.json")} == before
    again = json.loads((workdir / "table.json").read_text())
    assert again["failed"] == {}
    assert {key: again[key] for key in ("cells", "comparisons", "missing")} == {
        key: record[key] for key in ("cells", "comparisons", "missing")
    }


def refused(capsys, *argv):
    assert run_command(study.main, [str(word) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_wrong_study_is_told_in_one_line(study_file, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    assert "no such config file" in refused(capsys, tmp_path / "nothing.py")
    assert "--train.epoch: no such flag" in refused(capsys, study_file, "--train.epoch", "3")
    assert "data.path: nowhere does not exist" in refused(capsys, study_file, "--data", "sample=nowhere")
    study_file.write_text(FILE.replace("seeds=(0,)", "seeds=()"))
    assert f"{study_file}: seeds: found none" in refused(capsys, study_file)


def test_folders_by_default_and_by_flag(study_file, tmp_path, capsys, monkeypatch):
    """All studies share studies/runs; with --workdir the runs lie within, unless --runs says where."""
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run_command(study.main, [str(study_file), "--table-only"]) == 0
    assert f"runs in {pathlib.Path('studies') / 'runs'}" in capsys.readouterr().err
    assert (tmp_path / "studies" / "grid" / "table.md").is_file()
    run_command(study.main, [str(study_file), "--table-only", "--workdir", "w"])
    assert f"runs in {pathlib.Path('w') / 'runs'}" in capsys.readouterr().err
    run_command(study.main, [str(study_file), "--table-only", "--workdir", "w", "--runs", "elsewhere"])
    assert "runs in elsewhere" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told(study_file, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    (tmp_path / "taken").write_text("")
    assert run_command(study.main, [str(study_file), "--table-only", "--workdir", str(tmp_path / "taken")]) == 2
    assert "taken" in capsys.readouterr().err.splitlines()[-1]
