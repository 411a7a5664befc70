"""Rows that rank other candidates, or other users, have a chance of their own and a best of their own."""

import dataclasses

import numpy as np
import pytest

from jaxrec.models.bprmf import BPRMFConfig
from jaxrec.studies import Row
from jaxrec.studies.cells import Overrides, make_cells
from jaxrec.studies.markdown import as_markdown
from jaxrec.studies.outcome import collect
from jaxrec.studies.record import as_json
from tests.studies.making import BPRMF, NUM_USERS, finish, study


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)


def test_chance_stands_beside_every_pool_and_the_best_is_told_of_each(tmp_path):
    """Rows that rank pools of their own sizes have a chance of their ownof each."""
    sizes = {"20": 20, "20, too": 20, "50": 50, "50, too": 50}
    rows = tuple(
        Row(label, dataclasses.replace(BPRMF, model=BPRMFConfig(dim=8 * (index + 1))))
        for index, label in enumerate(sizes)
    )
    whole = study(rows=rows, seeds=(0,), metrics=("ndcg@10",))
    cells = make_cells(whole, Overrides())
    for cell, better in zip(cells, (0.0, 0.1, 0.0, 0.05), strict=True):
        size = sizes[cell.row]
        reference = {"random": {"ndcg@10": 5 / size}}
        values = np.full(NUM_USERS, 5 / size + better)
        finish(cell, tmp_path, values, candidates=f"of {size}", pool_size=size, reference=reference)
    outcome = collect(whole, cells, tmp_path, {})
    page = as_markdown(outcome, None)
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert "| 20, too | 1 | **0.3500** |" in lines
    assert "| 50, too | 1 | **0.1500** |" in lines
    assert "| 50 | 1 | 0.1000 |" in lines
    assert "| *random, 20 candidates* |  | 0.2500 |" in lines
    assert "| *random, 50 candidates* |  | 0.1000 |" in lines
    assert "among rows that rank the same candidates" in page
    told = as_json(outcome)["references"]
    assert told["50 candidates"] == {"sample": {"random": {"ndcg@10": 0.1}}}


def test_pools_of_one_size_are_told_by_a_row_that_ranks_them(tmp_path):
    whole, cells = study(seeds=(0,)), make_cells(study(seeds=(0,)), Overrides())
    for cell in cells:
        reference = {"random": {"ndcg@10": 0.2}, "popularity": {"ndcg@10": len(cell.row) / 100}}
        finish(cell, tmp_path, np.full(NUM_USERS, 0.5), pool_size=20, reference=reference)
    page = as_markdown(collect(whole, cells, tmp_path, {}), None)
    assert "*random, the candidates of BPR-MF*" in page
    assert "*random, the candidates of LightGCN*" in page


def test_the_same_pools_in_files_of_other_users_are_one_ranking(tmp_path):
    whole, cells = study(seeds=(0,)), make_cells(study(seeds=(0,)), Overrides())
    for cell in cells:
        finish(cell, tmp_path, np.full(NUM_USERS, len(cell.row) / 100), candidates=f"of {cell.row}", pool_size=20)
    page = as_markdown(collect(whole, cells, tmp_path, {}), None)
    assert "| *random* |" in page
    assert page.count("**") == 4  # LightGCN's two numbers


def test_rows_that_rank_all_items_stand_together_whatever_their_popularity(tmp_path):
    """A model that reads other events counts other popularities; the candidates are the same."""
    whole, cells = study(seeds=(0,)), make_cells(study(seeds=(0,)), Overrides())
    for cell in cells:
        reference = {"random": {"ndcg@10": 0.2}, "popularity": {"ndcg@10": len(cell.row) / 100}}
        finish(cell, tmp_path, np.full(NUM_USERS, len(cell.row) / 100), reference=reference)
    page = as_markdown(collect(whole, cells, tmp_path, {}), None)
    assert page.count("| *popularity* |") == 1
    assert page.count("**") == 4
