"""Every test runs on the CPU with eight simulated devices, strict promotion, and the compilation cache on."""

import os
import pathlib

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", os.path.expanduser("~/.cache/jaxrec-tests/xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

ROOT = pathlib.Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--update-golden", action="store_true", help="write the golden texts of the configs anew")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


QUICKLY = {
    *("contract", "models", "nn", "llm", "ranker", "bench", "serve", "train", "eval", "inspection", "refinement"),
    *("explanation", "test_devices", "test_sequence_runs"),
}
"""Folders and files whose tests compile without optimizations: compiling is most of their time, numbers are the same.

Others train for long, which takes more than compiling.
"""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Before any fixture, so that what a module shares is compiled as its tests are."""
    jax.config.update("jax_disable_most_optimizations", bool({item.path.parent.name, item.path.stem} & QUICKLY))


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder.name} beside the checkout")
    return folder
