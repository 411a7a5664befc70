"""Where a PyTorch peer is told to run, and what is said where it cannot."""

import pytest

from jaxrec.bench import peer_device
from jaxrec.errors import UserError


def python_that_says(tmp_path, answer):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\necho {answer}\n")
    path.chmod(0o755)
    return str(path)


def test_a_peer_runs_on_the_cpu_with_jax():
    assert peer_device.peer_device("no-such-python") == "cpu"


def test_a_peer_runs_on_the_gpu_with_jax(monkeypatch, tmp_path):
    monkeypatch.setattr(peer_device.jax, "default_backend", lambda: "gpu")
    assert peer_device.peer_device(python_that_says(tmp_path, "True")) == "cuda"
    with pytest.raises(UserError, match="whose PyTorch sees no GPU while JAX runs on one"):
        peer_device.peer_device(python_that_says(tmp_path, "False"))
    with pytest.raises(UserError, match="allowed an interpreter that has PyTorch"):
        peer_device.peer_device("no-such-python")


def test_a_device_that_pytorch_has_not_is_refused(monkeypatch):
    monkeypatch.setattr(peer_device.jax, "default_backend", lambda: "tpu")
    with pytest.raises(UserError, match="found JAX on tpu"):
        peer_device.peer_device("python")
