"""The persistent compilation cache, kept safe from processes that were killed while writing to it.

JAX writes a cache entry in place. A process killed in the middle leaves half of one under the final name, which every
later run would trip over. So each process leaves a marker while it runs; whoever finds the marker of a dead process
removes the entries written since that marker. An entry too many is only compiled again.
"""

from __future__ import annotations

import atexit
import os
import pathlib
import socket

import jax


def enable_compilation_cache(folder: pathlib.Path | None = None) -> pathlib.Path | None:
    """Turn the cache on and return its folder; None where it cannot be written (then nothing is cached)."""
    if folder is None:
        base = os.environ.get("JAXREC_CACHE") or pathlib.Path.home() / ".cache" / "jaxrec"
        folder = pathlib.Path(base) / "xla" / jax.__version__
    marker = folder / f"running-{socket.gethostname()}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_unfinished(folder)
        marker.write_text("")
    except OSError:
        return None
    atexit.register(marker.unlink, missing_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder


def _remove_unfinished(folder: pathlib.Path) -> None:
    # Of processes on other machines, which may share the folder, nobody here knows whether they live.
    here = f"running-{socket.gethostname()}-"
    for marker in folder.glob(f"{here}*"):
        named = marker.name.removeprefix(here)
        if not named.isdecimal():  # of a machine whose name begins with this one's
            continue
        process = int(named)
        if process == os.getpid() or not _alive(process):
            since = marker.stat().st_mtime_ns
            for entry in folder.glob("*-cache"):
                if entry.stat().st_mtime_ns >= since:
                    entry.unlink(missing_ok=True)
            marker.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
