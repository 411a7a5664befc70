"""Shipped configs: valid, equal to their golden texts, documented, with the settings of the papers."""

import ast
import json
import pathlib
import re

import pytest

from jaxrec.config import (
    as_text,
    load_config,
    validate,
)
from jaxrec.config.fields import leaves

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "configs"
# Configs of the precompute stage are no experiments; tests/precompute/test_shipped.py looks at them.
SHIPPED = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if not path.stem.startswith("precompute_"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_config_is_valid_and_equals_its_golden_text(name, request):
    experiment = load_config(ROOT / "configs" / f"{name}.py")
    assert experiment.name == name
    assert name.startswith(experiment.model.name + "_")
    validate(experiment)
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(as_text(experiment))
    assert golden.is_file(), "no golden text; pytest tests/config --update-golden writes it"
    assert as_text(experiment) == golden.read_text()


def test_no_golden_text_outlives_its_config():
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_docstring_is_a_lab_record(name):
    docstring = ast.get_docstring(ast.parse((ROOT / "configs" / f"{name}.py").read_text())) or ""
    for entry in ("Paper:", "Data:", "Command:", "Hardware:", "Wall time:", "Result:", "Deviations:"):
        assert entry in docstring, f"{name}: no line {entry}"
    assert f"--config configs/{name}.py" in docstring


def settings_rows():
    """Rows of the tables in docs/settings.md: (config, field, the paper's value or —, ours)."""
    rows = []
    for line in (ROOT / "docs" / "settings.md").read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == 5:
            rows.append(tuple(cells[:4]))
    return rows


def test_every_shipped_config_has_settings():
    assert {row[0] for row in settings_rows()} == set(SHIPPED)


@pytest.mark.parametrize(("name", "field", "paper", "ours"), settings_rows())
def test_settings_are_those_of_the_table(name, field, paper, ours):
    experiment = load_config(ROOT / "configs" / f"{name}.py")
    values = {leaf.name: leaf.value for leaf in leaves(experiment)}
    found = json.loads(json.dumps(values[field]))
    assert found == json.loads(ours)
    assert paper == "—" or paper == ours or field in deviations(name), f"{name}: {field} differs and no line says why"


def deviations(name):
    """Fields that the docstring of a config names after `Deviations:`."""
    docstring = ast.get_docstring(ast.parse((ROOT / "configs" / f"{name}.py").read_text())) or ""
    return set(re.findall(r"[a-z_]+(?:\.[a-z_]+)+", docstring.partition("Deviations:")[2]))
