"""Fixtures of the evaluation tests."""

import numpy as np
import pytest

from jaxrec.models.base import Context
from tests.eval.given import GivenVectors


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def model():
    return GivenVectors()


@pytest.fixture
def ctx():
    return Context()
