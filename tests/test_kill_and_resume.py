"""`kill -9` at random moments, then the same command again: the final metrics are those of an uninterrupted run.

Ten kills of LMMRec take minutes, so the suite kills LightGCN twice, and with --slow SASRec and M3BSR on 1 and on 8
simulated devices; `python tests/test_kill_and_resume.py` does the ten.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Long enough that a kill falls into training, evaluation and saving alike.
SETTINGS = [
    "--train.eval-every", "1", "--train.patience", "0", "--train.checkpoint-every-seconds", "0.5",
    "--train.batch-size", "64",
]  # fmt: skip
FEW_USERS = ("--data.filter.min-events", "90", "--model.dim", "8", "--model.num-heads", "2", "--model.max-length", "4")
FEW_STEPS = ("--model.id-dim", "4", "--model.modality.num-steps", "3", "--model.behavior.num-steps", "3")
LIGHTGCN = ("lightgcn_amazon_book", "12")
LMMREC = ("lmmrec_steam", "20")
SASREC = ("sasrec_sample", "20", *FEW_USERS)
M3BSR = ("m3bsr_sample", "4", *FEW_USERS, *FEW_STEPS)


def command(workdir, which, devices):
    name, epochs, *flags = which
    config = str(ROOT / "configs" / f"{name}.py")
    run_it = [sys.executable, "-m", "jaxrec.launch", "--config", config, "--workdir", str(workdir)]
    return [*run_it, "--train.epochs", epochs, *SETTINGS, "--devices.count", str(devices), *flags]


def run(workdir, which, devices, environment, kill_after=None):
    """Start the command; kill it after some seconds, or let it end. Returns whether it ended by itself."""
    process = subprocess.Popen(
        command(workdir, which, devices), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, errors = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False
    assert process.returncode == 0, errors
    return True


def outcome(workdir):
    result = json.loads((workdir / "result.json").read_text())
    with np.load(workdir / "topk.npz") as saved:
        lists = {name: saved[name].tobytes() for name in saved.files}
    with np.load(workdir / "per_user.npz") as saved:
        users = {name: saved[name].tobytes() for name in saved.files}
    return {"protocols": result["protocols"], "best_step": result["best_step"], "lists": lists, "users": users}


def kill_and_resume(folder, which, kills, seed, devices=1, say=lambda line: None):
    environment = {**os.environ, "JAXREC_CACHE": str(folder / "cache"), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAXREC_DATA", None)
    run(folder / "whole", which, devices, environment)
    started = time.monotonic()
    run(folder / "timed", which, devices, environment)  # with a warm cache, to know how long a run takes
    seconds = time.monotonic() - started
    moments = random.Random(seed)
    done = landed = 0
    while done < kills:
        workdir = folder / f"killed-{landed}"
        after = moments.uniform(0.05, 0.95) * seconds
        if run(workdir, which, devices, environment, after):  # it ended before the kill: begin another run
            landed += 1
            continue
        done += 1
        steps = sorted(int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*") if path.name.isdigit())
        say(f"kill {done} after {after:.1f} s; checkpoints {steps}")
    run(workdir, which, devices, environment)
    expected = outcome(folder / "whole")
    assert outcome(folder / "timed") == expected
    for path in sorted(folder.glob("killed-*")):
        assert outcome(path) == expected, path.name
    return expected


@pytest.mark.multiprocess
def test_a_killed_run_resumes_to_the_last_bit(tmp_path):
    kill_and_resume(tmp_path, LIGHTGCN, kills=2, seed=0)


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("which", [SASREC, M3BSR], ids=lambda which: which[0])
def test_a_killed_run_of_sequences_resumes_to_the_last_bit(which, devices, tmp_path):
    kill_and_resume(tmp_path, which, kills=2, seed=1, devices=devices)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        final = kill_and_resume(pathlib.Path(name), LMMREC, kills=10, seed=int(time.time()), say=print)
    print("equal to the last bit:", {k: v for k, v in final["protocols"]["full"]["test"].items() if k.endswith("@10")})
