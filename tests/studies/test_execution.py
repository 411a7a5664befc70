"""Cells as child processes, with small scripts in place of training."""

import dataclasses
import fcntl
import os
import sys
import threading
import time

import pytest

from jaxrec.config import load_config
from jaxrec.studies import Row, execution
from jaxrec.studies.cells import Overrides, distinct, make_cells
from jaxrec.studies.cores import available_cores, default_jobs, has_accelerator, only, shares
from jaxrec.studies.execution import is_done, run_cells
from tests.studies.making import BPRMF, LIGHTGCN, study

# What stands in for a run: it says where it runs and on which cores, then leaves a result.
SCRIPT = """
import json, os, pathlib, signal, sys, time
record, folder = map(pathlib.Path, sys.argv[1:3])
folder.mkdir(exist_ok=True)
print("cores", sorted(os.sched_getaffinity(0)), flush=True)
{body}
(folder / "result.json").write_text(record.read_text())
"""
SAVES = """
def save(*_):
    (folder / "saved").write_text("")
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
(folder / "ready").write_text("")
while not (folder / "saved").exists():
    time.sleep(0.02)
"""


class Events:
    """An observer that remembers, and a signal that is asked for when `stop_at` says so."""

    def __init__(self, stop_at=lambda: False):
        self.seen, self._stop_at = [], stop_at

    @property
    def number(self):
        return 15 if self._stop_at() else None

    def started(self, cell):
        self.seen.append(("started", cell.row))

    def waits(self, cell):
        self.seen.append(("waits", cell.row))

    def done(self, cell, seconds):
        self.seen.append(("done", cell.row))

    def failed(self, cell, reason):
        self.seen.append(("failed", cell.row))


@pytest.fixture
def cells(monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    return distinct(make_cells(study(rows=(Row("a", LIGHTGCN), Row("b", BPRMF)), seeds=(0,)), Overrides()))


def command(body="", of_row=None):
    """of_row: bodies by model name in place of `body`."""

    def make(record, folder):
        chosen = next((text for name, text in (of_row or {}).items() if folder.name.startswith(name)), body)
        return [sys.executable, "-S", "-c", SCRIPT.format(body=chosen), str(record), str(folder)]

    return make


def test_what_is_done_is_skipped_and_the_rest_runs_as_recorded(cells, tmp_path):
    events = Events()
    assert run_cells(cells, tmp_path / "runs", 1, events, events, command()) == {}
    assert events.seen == [("started", "a"), ("done", "a"), ("started", "b"), ("done", "b")]
    for cell in cells:
        named = dataclasses.replace(cell.experiment, name=cell.folder_name)
        assert load_config(tmp_path / "runs" / f"{cell.folder_name}.json") == named
        log = (tmp_path / "runs" / f"{cell.folder_name}.log").read_text().splitlines()
        assert log == [f"== {cell.label}", f"cores {available_cores()}"]
    again = Events()
    run_cells(cells, tmp_path / "runs", 1, again, again, command("raise SystemExit(1)"))
    assert again.seen == []


def test_a_failure_is_told_by_its_last_line_and_the_others_go_on(cells, tmp_path):
    fails = "print('jaxrec: error: data.path: nothing there\\n'); sys.exit(2)"
    events = Events()
    failures = run_cells(cells, tmp_path, 1, events, events, command(of_row={"lightgcn": fails}))
    assert failures == {cells[0].folder_name: "exit status 2: data.path: nothing there"}
    assert ("failed", "a") in events.seen
    assert is_done(tmp_path, cells[1])
    killed = Events()
    failures = run_cells(cells, tmp_path, 1, killed, killed, command("os.kill(os.getpid(), 9)"))
    assert list(failures.values()) == [f"killed by SIGKILL: cores {available_cores()}"]
    # What ends without an error and without a result has failed, too.
    failures = run_cells(cells, tmp_path, 1, killed, killed, command("sys.exit(0)"))
    assert list(failures.values()) == [f"exit status 0: cores {available_cores()}"]


@pytest.mark.skipif(len(available_cores()) < 2, reason="one core cannot be shared")
def test_several_at_once_have_cores_of_their_own(cells, tmp_path):
    # Each waits for the other, so that they end only if both run.
    body = "\n".join([
        "(folder.parent / (folder.name + '.here')).write_text('')",
        "while len(list(folder.parent.glob('*.here'))) < 2: time.sleep(0.02)",
    ])  # fmt: skip
    events, before = Events(), available_cores()
    assert run_cells(cells, tmp_path, 2, events, events, command(body)) == {}
    assert [event for event, _ in events.seen] == ["started", "started", "done", "done"]
    used = [(tmp_path / f"{cell.folder_name}.log").read_text().splitlines()[-1] for cell in cells]
    assert used[0] != used[1]
    assert available_cores() == before


def test_shares_cover_the_cores_once():
    cores = available_cores()
    assert shares(1) == [None]
    for jobs in range(2, len(cores) + 1):
        found = shares(jobs)
        assert sorted(core for share in found for core in share) == cores
    assert all(len(share) == 1 for share in shares(len(cores) + 3))
    with only({cores[0]}):
        assert available_cores() == cores[:1]
    assert available_cores() == cores


def test_jobs_by_default(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert not has_accelerator()
    assert default_jobs() == max(1, len(available_cores()) // 2)
    monkeypatch.setattr("jaxrec.studies.cores.has_accelerator", lambda: True)
    assert default_jobs() == 1


def test_a_stop_lets_the_children_save(cells, tmp_path):
    events = Events(lambda: len(list(tmp_path.glob("*/ready"))) == 2)
    assert run_cells(cells, tmp_path, 2, events, events, command(SAVES)) == {}
    assert len(list(tmp_path.glob("*/saved"))) == 2
    assert not any(is_done(tmp_path, cell) for cell in cells)


def test_an_impatient_user_ends_the_children_at_once(cells, tmp_path):
    """A second signal is a KeyboardInterrupt while the children save."""

    class Impatient(Events):
        def started(self, cell):
            raise KeyboardInterrupt

    events = Impatient()
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells, tmp_path, 1, events, events, command("time.sleep(60)"))


def test_what_another_process_runs_is_waited_for_and_not_run_twice(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "_WAIT_SECONDS", 0.1)
    folder = tmp_path / cells[0].folder_name
    folder.mkdir()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def finish():
            time.sleep(1.0)
            (folder / "result.json").write_text("{}")
            fcntl.flock(lock, fcntl.LOCK_UN)

        elsewhere = threading.Thread(target=finish)
        elsewhere.start()
        events = Events()
        assert run_cells(cells, tmp_path, 1, events, events, command()) == {}
        elsewhere.join()
    assert events.seen == [("waits", "a"), ("started", "b"), ("done", "b"), ("done", "a")]
    assert (folder / "result.json").read_text() == "{}"


def test_a_child_that_found_its_folder_taken_is_tried_again(cells, tmp_path):
    body = """
if not (folder / "taken").exists():
    (folder / "taken").write_text("")
    print("jaxrec: error: x: another process is running in it")
    sys.exit(2)
"""
    events = Events()
    assert run_cells(cells, tmp_path, 1, events, events, command(body)) == {}
    assert [row for event, row in events.seen if event == "started"] == ["a", "b", "a", "b"]
    assert os.path.exists(tmp_path / cells[0].folder_name / "result.json")
