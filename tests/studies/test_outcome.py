"""The numbers of a table against an independent computation, on runs with planted values."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from jaxrec import study as command
from jaxrec.data.config import DataConfig
from jaxrec.errors import UserError
from jaxrec.eval.config import EvalConfig
from jaxrec.models.lmmrec import LMMRecConfig
from jaxrec.studies import Column, Figure, Row
from jaxrec.studies.cells import Overrides, make_cells
from jaxrec.studies.markdown import as_markdown
from jaxrec.studies.outcome import collect
from jaxrec.studies.record import as_json
from tests.studies.making import BPRMF, LIGHTGCN, NUM_USERS, finish, study

COLUMNS = (Column("0 %", x=0.0), Column("30 %", ("--data.noise", "0.3"), 30.0))
SHAS = {"0 %": "a" * 64, "30 %": "b" * 64}


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)


def planted(cell):
    """ndcg@10 of each user: LightGCN is better by 0.03 without noise, and no better with it."""
    rng = np.random.default_rng([cell.seed, cell.column == "0 %", cell.row == "LightGCN"])
    common = np.random.default_rng(0).random(NUM_USERS) / 2
    better = 0.03 if (cell.row, cell.column) == ("LightGCN", "0 %") else 0.0
    return np.clip(common + better + rng.normal(0, 0.02, NUM_USERS), 0, 1)


def made(runs, *, skip=lambda cell: False, **changes):
    whole = study(**({"columns": COLUMNS, "figure": Figure("added (%)")} | changes))
    cells = make_cells(whole, Overrides())
    for cell in cells:
        if not skip(cell):
            finish(cell, runs, planted(cell), sha=SHAS[cell.column])
    return whole, cells


def by_hand(cells, column):
    """Means over seeds of each row's users, and the p-value of their difference by SciPy."""
    means = {
        row: np.mean([planted(c) for c in cells if (c.row, c.column) == (row, column)], axis=0)
        for row in ("BPR-MF", "LightGCN")
    }
    return means, stats.ttest_rel(means["LightGCN"], means["BPR-MF"]).pvalue


def test_means_improvements_and_tests_are_those_computed_by_hand(tmp_path):
    whole, cells = made(tmp_path)
    outcome = collect(whole, cells, tmp_path, {})
    assert outcome.missing == ()
    p_values = []
    for column in SHAS:
        means, p_value = by_hand(cells, column)
        p_values.append(p_value)
        system = outcome.systems["LightGCN", column]
        assert system.metrics["ndcg@10"].mean == pytest.approx(means["LightGCN"].mean())
        seeds = [planted(c).mean() for c in cells if (c.row, c.column) == ("LightGCN", column)]
        assert system.metrics["ndcg@10"].deviation == pytest.approx(np.std(seeds, ddof=1))
        (found,) = (c for c in outcome.comparisons if (c.column, c.metric) == (column, "ndcg@10"))
        assert (found.row, found.against) == ("LightGCN", "BPR-MF")
        assert found.improvement == pytest.approx(means["LightGCN"].mean() / means["BPR-MF"].mean() - 1)
        assert found.t_test == pytest.approx(p_value)
    # Two comparisons of one metric: the smaller p-value counts twice, the larger once.
    holm = [c.holm for c in outcome.comparisons if c.metric == "ndcg@10"]
    assert holm == pytest.approx([min(1, 2 * p_values[0]), max(2 * p_values[0], p_values[1])])
    assert outcome.starred("LightGCN", "0 %", "ndcg@10")
    assert not outcome.starred("LightGCN", "30 %", "ndcg@10")
    assert not outcome.starred("BPR-MF", "0 %", "ndcg@10")


def test_a_row_is_starred_only_if_it_beats_every_row_it_is_tested_against(tmp_path):
    rows = (Row("BPR-MF", BPRMF), Row("again", LIGHTGCN), Row("LightGCN", LIGHTGCN, ("BPR-MF", "again")))
    whole = study(rows=rows, columns=COLUMNS[:1])
    cells = make_cells(whole, Overrides())
    for cell in cells:
        if not (tmp_path / cell.folder_name).exists():
            values = planted(cell) if cell.row == "BPR-MF" else planted(cell) + 0.05
            finish(cell, tmp_path, values)
    outcome = collect(whole, cells, tmp_path, {})
    assert {c.against: c.better for c in outcome.comparisons if c.metric == "ndcg@10"} == {
        "BPR-MF": True,
        "again": False,
    }
    assert not outcome.starred("LightGCN", "0 %", "ndcg@10")
    # The other way round it is worse, and says so.
    turned = study(rows=(Row("BPR-MF", BPRMF, ("LightGCN",)), Row("LightGCN", LIGHTGCN)), columns=COLUMNS[:1])
    worse = collect(turned, make_cells(turned, Overrides()), tmp_path, {}).comparisons
    assert all(c.worse and not c.better for c in worse)


def test_a_partial_table_says_what_is_missing_and_compares_common_seeds(tmp_path):
    whole, cells = made(tmp_path, skip=lambda c: c.column == "30 %" or (c.row, c.seed) == ("BPR-MF", 1))
    failures = {c.folder_name: "exit status 1: KeyError" for c in cells if (c.row, c.column) == ("BPR-MF", "30 %")}
    outcome = collect(whole, cells, tmp_path, failures)
    assert len(outcome.missing) == 5
    assert outcome.failures["BPR-MF | 30 % | seed 0"] == "exit status 1: KeyError"
    (found,) = (c for c in outcome.comparisons if c.metric == "ndcg@10")
    first = [planted(c) for c in cells if (c.column, c.seed) == ("0 %", 0)]
    assert found.t_test == pytest.approx(stats.ttest_rel(first[1], first[0]).pvalue)
    text = as_markdown(outcome, None)
    assert "**Partial.** 5 of 8 cells are missing, 2 of them failed." in text
    assert "| BPR-MF | 0 to 1 of 2 | 0." in text
    assert "missing | missing |" in text
    assert "- failed: BPR-MF | 30 % | seed 1: exit status 1: KeyError" in text
    assert "- missing: LightGCN | 30 % | seed 0" in text
    assert any("do not have the same seeds" in note for note in outcome.notes)
    record = as_json(outcome)
    assert len(record["missing"]) == 5
    assert record["columns"][1]["dataset"] is None
    json.dumps(record, allow_nan=False)


def test_runs_of_different_questions_are_shown_and_not_tested(tmp_path):
    whole = study(columns=COLUMNS[:1])
    cells = make_cells(whole, Overrides())
    for cell in cells:
        finish(cell, tmp_path, planted(cell), masked=("train",) if cell.row == "BPR-MF" else ("train", "valid"))
    outcome = collect(whole, cells, tmp_path, {})
    assert outcome.comparisons == ()
    assert any(note.startswith("LightGCN is not tested against BPR-MF in 0 %") for note in outcome.notes)


def test_the_page_and_the_record_hold_what_a_reader_needs(tmp_path):
    published = {"0 %": (0.5, 0.25)}
    rows = (Row("BPR-MF", BPRMF), Row("LightGCN", LIGHTGCN, ("BPR-MF",), published))
    whole, cells = made(tmp_path, rows=rows)
    outcome = collect(whole, cells, tmp_path, {})
    text = as_markdown(outcome, "figure.png")
    lines = text.splitlines()
    assert lines[0] == "# A tiny study"
    assert "Partial" not in text
    assert "Built-in sample" not in text
    row = next(line for line in lines if line.startswith("| LightGCN |"))
    assert row.count("±") == 4
    assert row.count(r"\*") == 2
    assert row.startswith("| LightGCN | 2 | **")
    assert next(line for line in lines if line.startswith("| *improvement over BPR-MF*")).count("%") == 4
    assert "| *LightGCN, as published* |  | 0.5000 | 0.2500 |  |  |" in lines
    assert "| *popularity* |  | 0.0500 | 0.0500 | 0.0500 | 0.0500 |" in lines
    assert "| *random* |" in text
    assert "120 users ranked" in text
    assert "masked: train, valid" in text
    assert "60 / 20 / 20 interactions" in text
    assert "sha256 aaaaaaaaaaaa" in text
    assert "--data.noise 0.3" in text
    assert "Holm's correction over the comparisons of one metric (2 here)" in text
    assert "![A tiny study](figure.png)" in text
    record = as_json(outcome)
    assert {key: type(value) for key, value in record.items()} == {
        "schema": int, "name": str, "title": str, "seeds": list, "metrics": list, "protocol": str, "part": str,
        "rows": list, "columns": list, "references": dict, "cells": list, "comparisons": list, "starred": list,
        "figure": dict, "num_cells": int, "missing": list, "failed": dict, "notes": list,
    }  # fmt: skip
    assert record["schema"] == 1
    assert record["rows"][1]["published"] == {"0 %": {"recall@10": 0.5, "ndcg@10": 0.25}}
    assert record["columns"][0]["protocol"] == {"k": [5, 10, 20], "masked": ["train", "valid"],
                                                "num_users": 120, "candidates": None}  # fmt: skip
    assert record["columns"][1]["dataset"]["sha256"] == "b" * 64
    assert record["columns"][0]["reference"]["popularity"]["ndcg@10"] == 0.05
    (cell,) = (c for c in record["cells"] if (c["row"], c["column"]) == ("LightGCN", "0 %"))
    assert [run["seed"] for run in cell["runs"]] == [0, 1]
    assert cell["runs"][0]["versions"] == {"jax": "0"}
    assert np.mean([run["metrics"]["ndcg@10"] for run in cell["runs"]]) == pytest.approx(
        cell["metrics"]["ndcg@10"]["mean"]
    )
    assert str(tmp_path) not in json.dumps(record) + text
    assert record["starred"] == [
        {"row": "LightGCN", "column": "0 %", "metric": metric} for metric in ("recall@10", "ndcg@10")
    ]


@pytest.mark.parametrize(("on_sample", "said"), [(("0 %",), "given for 0 %, so"), (("0 %", "30 %"), "given, so")])
def test_the_sample_is_named_loudly(tmp_path, on_sample, said):
    whole = study(columns=COLUMNS)
    cells = make_cells(whole, Overrides())
    for cell in cells:
        finish(cell, tmp_path, planted(cell), source="sample" if cell.column in on_sample else "path")
    text = as_markdown(collect(whole, cells, tmp_path, {}), None)
    assert text.splitlines()[2].startswith(f"> **Built-in sample.** No data was {said}")


def test_columns_of_one_data_set_and_protocol_share_a_line(tmp_path):
    whole = study(columns=(Column("0.1", x=0.1), Column("0.2", x=0.2)))
    cells = make_cells(whole, Overrides())
    for cell in {cell.folder_name: cell for cell in cells}.values():
        finish(cell, tmp_path, planted(cell))
    outcome = collect(whole, cells, tmp_path, {})
    assert as_markdown(outcome, None).count("- 0.1, 0.2: ") == 1


def test_it_is_told_which_rows_learned_vectors_in_place_of_text(tmp_path):
    learned = dataclasses.replace(LIGHTGCN, model=LMMRecConfig(text_source="learned"))
    rows = (Row("LightGCN", LIGHTGCN), Row("LMMRec", learned))
    whole = study(rows=rows, columns=COLUMNS[:1])
    cells = make_cells(whole, Overrides())
    for cell in cells:
        finish(cell, tmp_path, planted(cell))
    lines = as_markdown(collect(whole, cells, tmp_path, {}), None).splitlines()
    assert "- 0 %, text of LMMRec: none; learned vectors stand in its place" in lines


def test_the_figure_is_drawn_from_what_is_there(tmp_path):
    pytest.importorskip("matplotlib", reason="the plots extra is not installed")
    from matplotlib.image import imread

    from jaxrec.studies import figure

    whole, cells = made(tmp_path / "runs", skip=lambda c: c.row == "BPR-MF")
    outcome = collect(whole, cells, tmp_path / "runs", {})
    lines = command.write(outcome, tmp_path)
    assert lines == [f"table.md, table.json, figure.png in {tmp_path}, 4 of 8 cells missing"]
    picture = imread(tmp_path / "figure.png")
    assert picture.shape[0] > 400
    assert picture.shape[1] > 1000

    class Axes:
        """Takes down what is drawn."""

        def __init__(self):
            self.drawn, self.spines = [], {"top": self, "right": self}

        def __getattr__(self, name):
            return lambda *values, **style: self.drawn.append((name, values, style))

    axes = Axes()
    figure._curves(axes, outcome, "ndcg@10")
    curves = {style["label"]: values for name, values, style in axes.drawn if name == "plot"}
    assert set(curves) == {"LightGCN", "popularity"}
    x, y = curves["LightGCN"]
    assert x == [0.0, 30.0]
    assert y == pytest.approx([outcome.systems["LightGCN", c.label].metrics["ndcg@10"].mean for c in COLUMNS])
    ((_, (_, low, high), _),) = (drawn for drawn in axes.drawn if drawn[0] == "fill_between")
    deviation = outcome.systems["LightGCN", "0 %"].metrics["ndcg@10"].deviation
    assert high[0] - low[0] == pytest.approx(2 * deviation)


def test_both_protocols_of_one_run_are_tables_of_one_page_and_a_row_may_have_fewer_seeds(tmp_path):
    both = [dataclasses.replace(e, eval=EvalConfig(protocols=("sampled99", "full"))) for e in (BPRMF, LIGHTGCN)]
    split = [dataclasses.replace(e, data=DataConfig(split="leave_one_out")) for e in both]
    rows = (Row("BPR-MF", split[0], num_seeds=1), Row("LightGCN", split[1], ("BPR-MF",)))
    whole, cells = made(
        tmp_path / "runs", rows=rows, columns=COLUMNS[:1], figure=None, protocol="sampled99", also=("full",)
    )
    assert [(cell.row, cell.seed) for cell in cells] == [("BPR-MF", 0), ("LightGCN", 0), ("LightGCN", 1)]
    outcomes = [
        collect(dataclasses.replace(whole, protocol=name, also=()), cells, tmp_path / "runs", {})
        for name in ("sampled99", "full")
    ]
    command.write(outcomes[0], tmp_path, outcomes[1:])
    page, record = (tmp_path / "table.md").read_text(), json.loads((tmp_path / "table.json").read_text())
    assert "Sampled99 ranking, test part." in page
    assert "## Full ranking" in page
    assert page.count("LightGCN against BPR-MF") == 4
    assert page.count("| BPR-MF | 1 |") == page.count("| LightGCN | 2 |") == 2
    assert (record["protocol"], record["also"]["full"]["protocol"]) == ("sampled99", "full")
    # Over the seed that both have.
    expected = stats.ttest_rel(*(planted(cells[place]) for place in (1, 0))).pvalue
    (found,) = (c for c in record["also"]["full"]["comparisons"] if c["metric"] == "ndcg@10")
    assert found["t_test"] == pytest.approx(expected)


def test_a_protocol_that_no_run_ranks_by_is_refused():
    with pytest.raises(UserError, match=r"eval\.protocols: found full, but a table shows sampled99"):
        make_cells(study(also=("sampled99",)), Overrides())


def test_a_heat_map_has_a_number_in_each_square(tmp_path):
    pytest.importorskip("matplotlib", reason="the plots extra is not installed")
    from jaxrec.figures import new_figure
    from jaxrec.studies import figure

    whole, cells = made(
        tmp_path / "runs", skip=lambda c: c.row == "BPR-MF" and c.column == "0 %", figure=Figure("x", kind="heat_map")
    )
    outcome = collect(whole, cells, tmp_path / "runs", {})
    _, (axes,) = new_figure(1)
    figure._heat_map(axes, outcome, "ndcg@10")
    found = {text.get_position(): text.get_text() for text in axes.texts}
    wanted = {
        (["0 %", "30 %"].index(column), ["BPR-MF", "LightGCN"].index(row)): f"{system.metrics['ndcg@10'].mean:.4f}"
        for (row, column), system in outcome.systems.items()
    }
    assert len(wanted) == 3
    assert found == wanted
    assert "figure.png" in command.write(outcome, tmp_path)[0]


def test_without_matplotlib_the_table_is_written_all_the_same(tmp_path, monkeypatch):
    import builtins

    real = builtins.__import__

    def missing(name, *rest, **more):
        if name.startswith("matplotlib"):
            raise ImportError("No module named 'matplotlib'")
        return real(name, *rest, **more)

    whole, cells = made(tmp_path / "runs")
    monkeypatch.setattr(builtins, "__import__", missing)
    lines = command.write(collect(whole, cells, tmp_path / "runs", {}), tmp_path)
    assert "jaxrec[plots]" in lines[0]
    assert (tmp_path / "table.md").is_file()
    assert "figure.png" not in (tmp_path / "table.md").read_text()


def test_several_targets_a_user_are_said_beside_the_table(tmp_path):
    whole, cells = made(tmp_path / "runs", columns=COLUMNS[:1], figure=None)
    for file in (tmp_path / "runs").glob("*/result.json"):
        result = json.loads(file.read_text())
        result["protocols"]["full"]["single_target"] = False
        file.write_text(json.dumps(result))
    command.write(collect(whole, cells, tmp_path / "runs", {}), tmp_path)
    page = (tmp_path / "table.md").read_text()
    assert "multi_target_full ranking, test part." in page
    assert "users ranked (multi_target_full)" in page
    assert "Full ranking" not in page
