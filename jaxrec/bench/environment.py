"""Where a figure was measured: versions, devices, cores and the flags that change speed."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any


def environment() -> dict[str, Any]:
    """JSON values. Touches the devices."""
    import jax

    packages = ("jax", "jaxlib", "flax", "optax", "grain", "jraph", "numpy", "polars")
    flags = sorted(name for name in os.environ if name.startswith(("XLA_", "MALLOC_", "OMP_", "JAX_")))
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "flags": {"XLA_FLAGS": os.environ.get("XLA_FLAGS", ""), **{name: os.environ[name] for name in flags}},
        "device_kind": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "bits": sys.maxsize.bit_length() + 1,
    }


def commit() -> str | None:
    """The commit of the checkout that this package lies in, "+" behind it where files differ; None outside of one."""

    def git(*arguments: str) -> str:
        folder = pathlib.Path(__file__).parent
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
