"""Shipped configs of the stage: valid, documented, and of the same data as the runs that read what they make."""

import ast
import pathlib

import pytest

from jaxrec.config.load import load_config
from jaxrec.data.recipe import recipe
from jaxrec.precompute.__main__ import load_precompute

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "configs").glob("precompute_*.py"))
OWN_SPLIT = ("precompute_beauty", "precompute_ml1m")


def test_every_data_set_has_one():
    names = [name.removeprefix("precompute_") for name in SHIPPED]
    assert names == ["amazon_book", "beauty", "ml1m", "sample", "steam", "yelp"]


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_valid_and_says_how_it_is_run(name):
    path = ROOT / "configs" / f"{name}.py"
    config = load_precompute(path)
    config.validate()
    assert config.name == name.removeprefix("precompute_")
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    for entry in ("Paper:", "Data:", "Command:"):
        assert entry in docstring
    assert f"python -m jaxrec.precompute --config configs/{name}.py" in docstring


@pytest.mark.parametrize("name", SHIPPED)
def test_the_models_are_those_of_the_paper_and_the_sample_needs_none(name):
    config = load_precompute(ROOT / "configs" / f"{name}.py")
    assert config.backend == ("rules" if name == "precompute_sample" else "openai")
    assert (config.openai.model, config.openai.embedding_model) == ("gpt-4o-mini", "text-embedding-3-large")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_run_that_reads_the_output_has_the_same_split(name):
    config = load_precompute(ROOT / "configs" / f"{name}.py")
    run = load_config(ROOT / config.launch_config)
    if name in OWN_SPLIT:  # no shipped config trains on these; the command that is printed carries the data's flags
        return
    assert run.data.name == config.data.name
    settings = recipe(config.data)
    settings.pop("reviews", None)
    theirs = recipe(run.data)
    settings["columns"] = theirs["columns"]
    assert settings == theirs
