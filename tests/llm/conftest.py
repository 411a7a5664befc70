"""Real models, for the tests that need them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models_folder():
    """The folder of real models; tests that need it are skipped where JAXREC_MODELS names none."""
    folder = os.environ.get("JAXREC_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("JAXREC_MODELS names no folder of real models")
    return Path(folder)
