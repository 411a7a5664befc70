"""Where a PyTorch peer runs: on the device that JAX runs on, so that both are timed on the same one."""

from __future__ import annotations

import subprocess
from typing import Literal

import jax

from jaxrec.bench.peer import Peer
from jaxrec.errors import UserError

_ASKED = "import torch; print(torch.cuda.is_available())"


def device_peer(python: str, script: str, path: str) -> Peer:
    """The peer of a script that takes a path and a device."""
    return Peer(python, script, path, peer_device(python))


def peer_device(torch_python: str) -> Literal["cpu", "cuda"]:
    """What a peer is told. Raises UserError where JAX runs on a device that its PyTorch cannot use.

    PyTorch calls AMD's GPUs "cuda" too.
    """
    backend = jax.default_backend()
    if backend == "cpu":
        return "cpu"
    if backend != "gpu":
        raise UserError(f"--torch-python: found JAX on {backend}, allowed: a CPU or a GPU, which PyTorch peers run on")
    try:
        done = subprocess.run([torch_python, "-c", _ASKED], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(
            f"--torch-python: found {torch_python!r} ({error.strerror}), allowed an interpreter that has PyTorch"
        ) from None
    if done.stdout.strip() != "True":
        raise UserError(
            f"--torch-python: found {torch_python!r}, whose PyTorch sees no GPU while JAX runs on one; "
            "allowed: an interpreter with PyTorch for this GPU, or JAX_PLATFORMS=cpu for both"
        )
    return "cuda"
