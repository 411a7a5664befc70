"""Decoders for tests: a tiny one, and real ones where there are any."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxrec.llm.config import read_config
from jaxrec.llm.weights import read_params
from tests.llm.tiny_llama import write_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Configuration and parameters of a tiny decoder out of its folder."""
    folder = write_folder(tmp_path_factory.mktemp("llama"))
    config = read_config(folder / "config.json", "float32")
    return config, jax.tree.map(jnp.asarray, read_params(folder, config))


@pytest.fixture(scope="session")
def models_folder():
    """The folder of real models; tests that need it are skipped where JAXREC_MODELS names none."""
    folder = os.environ.get("JAXREC_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("JAXREC_MODELS names no folder of real models")
    return Path(folder)
