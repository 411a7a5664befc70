"""Work in a process that sees a number of simulated CPU devices, which this one can no longer ask for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from jaxrec.errors import UserError


def ask_on_devices(count: int, module: str, *arguments: str) -> Any:
    """The JSON that `python -m module arguments` prints where it sees so many CPU devices. Raises UserError."""
    # XLA's other flags may be of this process's accelerator, and be refused by a CPU.
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
    }
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if result.returncode != 0:
        last = result.stderr.strip().splitlines()[-1:] or ["no output"]
        raise UserError(f"bench: {module} ended with {result.returncode}: {last[0]}")
    return json.loads(result.stdout)
