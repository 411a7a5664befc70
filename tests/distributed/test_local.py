"""launch/local.sh with a stand-in for the interpreter: who is told what, whose status counts, and how all are ended."""

import os
import signal
import subprocess
import sys

import pytest

from tests.distributed.gangs import ROOT, environment

SCRIPT = str(ROOT / "launch" / "local.sh")


@pytest.fixture
def run(tmp_path):
    """Start the script; line: what the stand-in does, in shell."""

    def start(line, *arguments, **more):
        stand_in = tmp_path / "stand-in"
        stand_in.write_text(f"#!/usr/bin/env bash\n{line}\n")
        stand_in.chmod(0o755)
        path = {"PATH": f"{ROOT / 'launch'}:/usr/bin:/bin"}  # no nvidia-smi
        return subprocess.Popen(
            ["bash", SCRIPT, *arguments],
            env=environment(PYTHON=str(stand_in), **path, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def end(process):
    out, errors = process.communicate(timeout=100)
    return process.returncode, out, errors


def test_each_process_is_told_its_place_and_has_one_device(run):
    said = 'echo "$JAXREC_PROCESS_ID/$JAXREC_NUM_PROCESSES $JAXREC_COORDINATOR [$XLA_FLAGS] $*"'
    flags = "--xla_force_host_platform_device_count=8 --xla_other=1"
    status, out, errors = end(run(said, "3", "--module", "recommend", "--run", "a b", XLA_FLAGS=flags))
    assert (status, errors) == (0, "")
    lines = sorted(out.splitlines())
    assert [line.split()[0] for line in lines] == ["0/3", "1/3", "2/3"]
    (rest,) = {line.split(" ", 1)[1] for line in lines}
    address, rest = rest.split(" ", 1)
    assert address.startswith("127.0.0.1:")
    assert rest == "[--xla_other=1] -m jaxrec.recommend --run a b"


def test_the_status_is_that_of_who_failed_not_of_who_noticed(run):
    status, _, _ = end(run('[ "$JAXREC_PROCESS_ID" = 1 ] || exit 3; sleep 0.5; exit 7', "3", "--config", "x"))
    assert status == 7


def test_who_was_killed_is_said_in_one_line(run):
    dies = '[ "$JAXREC_PROCESS_ID" = 1 ] && kill -KILL $$; sleep 0.5; exit 3'
    status, _, errors = end(run(dies, "2", "--config", "x"))
    assert (status, errors) == (137, "launch/local.sh: process 1 was ended by signal 9\n")


NOTES_SIGNALS = """
import os, signal, time

told = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: told.append(signal.Signals(number).name))
os.write(1, b"ready\\n")
while not told:
    time.sleep(0.05)
time.sleep(0.5)
os.write(1, b"%s\\n" % "+".join(told).encode())
"""


def test_ctrl_c_asks_each_once_to_stop(run, tmp_path):
    (tmp_path / "notes.py").write_text(NOTES_SIGNALS)
    process = run(f"exec '{sys.executable}' '{tmp_path / 'notes.py'}'", "2", "--config", "x")
    assert process.stdout is not None
    assert [process.stdout.readline().strip() for _ in range(2)] == ["ready", "ready"]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    status, out, errors = end(process)
    assert (status, out.split(), errors) == (130, ["SIGTERM", "SIGTERM"], "")


@pytest.mark.parametrize("arguments", [(), ("--config", "x"), ("0", "--config", "x"), ("2",)])
def test_a_mistake_is_one_line_and_status_two(run, arguments):
    status, out, errors = end(run("echo started", *arguments))
    assert (status, out, len(errors.splitlines())) == (2, "", 1)
    assert errors.startswith("launch/local.sh: ")


def test_a_dry_run_starts_nothing(run):
    status, out, _ = end(run("echo started", "2", "--dry-run", "--accelerator", "gpu", "--config", "x"))
    assert status == 0
    assert "started" not in out
    assert [line.rpartition("=")[2] for line in out.splitlines() if "JAXREC_LOCAL_DEVICES" in line] == ["0", "1"]
