"""Starting the processes of one run on this machine, each with one device, and waiting for them."""

import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    """A port of this machine that is free, and so is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def environment(**more):
    """This environment without what says who runs together or how many devices there are."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAXREC_", "SLURM_", "XLA_"))}
    cache = {"JAXREC_CACHE": os.environ["JAXREC_CACHE"]} if "JAXREC_CACHE" in os.environ else {}
    return {**kept, **cache, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), **more}


def start(words, count, **more):
    """The processes of `python WORDS`, all of one gang."""
    gang = {"JAXREC_COORDINATOR": f"127.0.0.1:{free_port()}", "JAXREC_NUM_PROCESSES": str(count)}
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env=environment(**gang, JAXREC_PROCESS_ID=str(process), **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(count)
    ]


def ends(processes, timeout=1500):
    """Exit status and stderr of each."""
    try:
        return [(process.communicate(timeout=timeout)[1], process.returncode)[::-1] for process in processes]
    finally:
        for process in processes:
            process.kill()
