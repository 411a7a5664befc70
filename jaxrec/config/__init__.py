"""Experiments: read from a Python file, overridden by flags, checked, written as JSON and hashed."""

from jaxrec.config.checks import resolve, validate, validate_against
from jaxrec.config.experiment import Experiment
from jaxrec.config.flags import override
from jaxrec.config.load import load_config
from jaxrec.config.record import (
    as_text,
    config_hash,
    first_difference,
    from_json,
    to_json,
)

__all__ = [
    "Experiment",
    "as_text",
    "config_hash",
    "first_difference",
    "from_json",
    "load_config",
    "override",
    "resolve",
    "to_json",
    "validate",
    "validate_against",
]
