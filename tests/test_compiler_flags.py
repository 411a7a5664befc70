"""The flag against the slow scatter of some versions of jaxlib on NVIDIA GPUs: where it is set and where it is not."""

import subprocess
import sys

import pytest

from jaxrec import compiler_flags
from jaxrec.command_line import run_command
from jaxrec.compiler_flags import set_compiler_flags

FLAG = "--xla_backend_extra_options=-nvptx-allow-ftz-atomics"


@pytest.fixture
def machine(monkeypatch):
    def set_up(jaxlib="0.10.2", cuda=True):
        monkeypatch.setattr(compiler_flags, "_jaxlib_version", lambda: jaxlib)
        monkeypatch.setattr(compiler_flags, "_has_cuda", lambda: cuda)

    set_up()
    return set_up


@pytest.mark.parametrize("jaxlib", ["0.10.2", "0.10.9", "0.11.0", "0.11.0.dev1"])
def test_it_is_set_for_the_versions_that_need_it(machine, jaxlib):
    machine(jaxlib)
    environment = {}
    set_compiler_flags(environment)
    assert environment == {"XLA_FLAGS": FLAG}


@pytest.mark.parametrize(
    ("jaxlib", "cuda"), [("0.10.1", True), ("0.11.1", True), ("0.12.0", True), ("", True), ("0.10.2", False)]
)
def test_it_is_not_set_for_other_versions_or_without_cuda(machine, jaxlib, cuda):
    machine(jaxlib, cuda)
    environment = {"XLA_FLAGS": "--xla_a=1"}
    set_compiler_flags(environment)
    assert environment == {"XLA_FLAGS": "--xla_a=1"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("--xla_a=1", f"--xla_a=1 {FLAG}"),
        (
            "--xla_backend_extra_options=-x --xla_a=1",
            "--xla_backend_extra_options=-x,-nvptx-allow-ftz-atomics --xla_a=1",
        ),
        ("--xla_backend_extra_options=", FLAG),
        (f"{FLAG}=false", f"{FLAG}=false"),
        ("--xla_gpu_ftz=true", "--xla_gpu_ftz=true"),
        (FLAG, FLAG),
    ],
)
def test_flags_that_are_there_stay(machine, before, after):
    environment = {"XLA_FLAGS": before}
    set_compiler_flags(environment)
    assert environment == {"XLA_FLAGS": after}


def test_every_command_sets_it_first(machine, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    seen = []

    def command(argv):
        import os

        seen.append(os.environ.get("XLA_FLAGS"))
        return 0

    assert run_command(command, []) == 0
    assert seen == [FLAG]


def test_the_installed_xla_takes_the_flag():
    """An unknown name in XLA_FLAGS ends a process."""
    code = "import jax; jax.config.update('jax_platforms', 'cpu'); print(int(jax.jit(lambda x: x + 1)(1)))"
    environment = {"XLA_FLAGS": f"{FLAG} --xla_gpu_enable_latency_hiding_scheduler=true", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
