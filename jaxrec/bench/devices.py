"""What a goal or a workload may need of a machine, and what this one has."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Literal, get_args

from jaxrec.errors import UserError

Needs = Literal["two CPU cores", "one accelerator", "eight devices"]
NEEDS: tuple[Needs, ...] = get_args(Needs)
MANY = 8


def offers(device_kind: str, num_devices: int) -> tuple[Needs, ...]:
    """What a machine with these devices can measure. Devices that a CPU simulates are one CPU."""
    if device_kind == "cpu":
        return ("two CPU cores",)
    return ("one accelerator", "eight devices") if num_devices >= MANY else ("one accelerator",)


def of_report(report: dict[str, Any]) -> tuple[Needs, ...]:
    """What the machine of a report can measure."""
    found = report["environment"]
    return offers(found["device_kind"], found.get("num_devices", 1))


def of_this_machine() -> tuple[Needs, ...]:
    """What this machine can measure, asked of a process of its own, which gives the devices back. Raises UserError."""
    asked = "import json, jax; print(json.dumps([jax.devices()[0].device_kind, jax.device_count()]))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise UserError(f"bench: JAX found no devices ({last[0]}), allowed: a CPU or an accelerator that JAX can use")
    return offers(*json.loads(done.stdout.splitlines()[-1]))


def require_accelerators(workload: str, least: int) -> None:
    """Raise UserError where JAX sees fewer accelerators. Touches the devices."""
    import jax

    found = 0 if jax.default_backend() == "cpu" else jax.device_count()
    if found < least:
        raise UserError(f"{workload}: found {found} accelerators, allowed: {least} or more, or --scale small")
