"""The time table of a study: seconds out of the folders of steps, a user and against another row, on the same pools."""

import dataclasses
import json

import numpy as np
import pytest

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from jaxrec.eval.config import EvalConfig
from jaxrec.models.sealr_config import PromptConfig, SEALRConfig
from jaxrec.studies import Row
from jaxrec.studies.cells import Overrides, make_cells
from jaxrec.studies.markdown import as_markdown
from jaxrec.studies.outcome import collect
from jaxrec.studies.record import as_json
from tests.studies.making import BPRMF, NUM_USERS, finish, study

NAMES = Experiment(
    SEALRConfig(prompt=PromptConfig(items="names")),
    data=DataConfig(split="leave_one_out"),
    text=TextConfig(source="none"),
    eval=EvalConfig(k=(5, 10, 20), protocols=("full", "retrieved")),
)
NUMBERS = dataclasses.replace(NAMES, model=SEALRConfig(prompt=PromptConfig(items="digits")))
TOOK = {"names": (90.0, 12.0, 300.0), "numbers": (45.0, 3.0, 120.0)}
"""Tuning and ranking in seconds, tokens a prompt; 30 users are tuned on and 24 ranked."""


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def made(root, pools=("a", "a")):
    """A study of names, numbers and a model without steps, one seed, and its runs."""
    rows = (Row("names", NAMES), Row("numbers", NUMBERS, ("names",)), Row("BPR-MF", dataclasses.replace(
        BPRMF, data=NAMES.data)))  # fmt: skip
    whole = study(rows=rows, seeds=(0,), times=True)
    cells = make_cells(whole, Overrides())
    for cell, found in zip(cells, (*pools, None), strict=True):
        finish(cell, root / "runs", np.linspace(0, 1, NUM_USERS))
        if found is None:
            continue
        tuning, ranking, tokens = TOOK[cell.row]
        steps = root / "made"
        write(steps / f"candidates-{found}" / "manifest.json", {"pools_sha256": found})
        write(steps / f"tuning-{cell.row}" / "times.json", {"seconds": tuning, "users": 30, "device": "cpu"})
        folder = steps / f"ranking-{cell.row}"
        needs = {"candidates": f"candidates-{found}", "tuning": f"tuning-{cell.row}"}
        write(folder / "manifest.json", {"needs": needs, "counts": {"prompt_tokens": {"mean": tokens, "max": 400}}})
        write(folder / "times.json", {"seconds": ranking, "users": 24, "device": "cpu", "devices": 1})
        config = root / "runs" / cell.folder_name / "config.json"
        recorded = json.loads(config.read_text())
        recorded["experiment"]["model"]["rankings"] = str(folder)
        write(config, recorded)
    return whole, cells


def cells_of(page, first):
    line = next(line for line in page.split("## Time", 1)[1].splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_seconds_stand_a_user_and_against_another_row(tmp_path):
    whole, cells = made(tmp_path)
    outcome = collect(whole, cells, tmp_path / "runs", {})
    page = as_markdown(outcome, None)
    assert cells_of(page, "names") == ["names", "90.0", "3.000", "12.0", "0.5000", "300", "30, 24", "cpu"]
    assert cells_of(page, "numbers") == ["numbers", "45.0", "1.500", "3.0", "0.1250", "120", "30, 24", "cpu"]
    ratios = ["*numbers against names*", "", "0.50x", "", "0.25x", "0.40x", "", ""]
    assert cells_of(page, "*numbers against names*") == ratios
    assert "BPR-MF" not in page.split("## Time")[1].split("## Comparisons")[0]
    held = {cell["row"]: cell.get("times") for cell in as_json(outcome)["cells"]}
    assert held["BPR-MF"] is None
    assert held["numbers"][0]["ranking_seconds"] == 3.0
    assert held["numbers"][0]["pools_sha256"] == "a"
    assert not any("candidates" in note or "no times" in note for note in outcome.notes)
    silent = collect(dataclasses.replace(whole, times=False), cells, tmp_path / "runs", {})
    assert "## Time" not in as_markdown(silent, None)


def test_other_pools_and_folders_that_are_gone_are_told(tmp_path):
    whole, cells = made(tmp_path, pools=("a", "b"))
    assert (
        "sample: the candidates are not the same in all rows (names, numbers)"
        in collect(whole, cells, tmp_path / "runs", {}).notes
    )
    (tmp_path / "made" / "tuning-names" / "times.json").unlink()
    write(tmp_path / "made" / "ranking-numbers" / "times.json", {"seconds": 3.0})
    outcome = collect(whole, cells, tmp_path / "runs", {})
    told = [note for note in outcome.notes if "no times" in note]
    assert len(told) == 2
    assert "times.json" in told[0]
    assert "its steps do not say what they took ('device'); make them anew" in told[1]
    assert "## Time" not in as_markdown(outcome, None)


def test_no_time_at_all_is_no_measurement(tmp_path):
    from jaxrec.comparison.runs import load_run
    from jaxrec.studies.step_times import step_times

    _, cells = made(tmp_path)
    write(tmp_path / "made" / "tuning-names" / "times.json", {"seconds": 0, "users": 30, "device": "cpu"})
    with pytest.raises(UserError, match="say that they took no time"):
        step_times(load_run(tmp_path / "runs" / cells[0].folder_name))
