"""The runs of a study: which folder, which experiment, which flags."""

import dataclasses

import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from jaxrec.models.lmmrec import LMMRecConfig
from jaxrec.studies import Column, Row
from jaxrec.studies.cells import Overrides, distinct, make_cells
from tests.studies.making import BPRMF, LIGHTGCN, study

LMMREC = dataclasses.replace(LIGHTGCN, model=LMMRecConfig(), text=TextConfig())


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text("user,item\na,x\n")
    return path


def cells_of(made, **overrides):
    return make_cells(made, Overrides(**overrides))


def refused(made, **overrides):
    with pytest.raises(UserError) as error:
        cells_of(made, **overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_cell_for_each_row_column_and_seed():
    cells = cells_of(study(columns=(Column("clean"), Column("noisy", ("--data.noise", "0.1")))))
    assert [(c.row, c.column, c.seed) for c in cells][:3] == [("BPR-MF", "clean", 0), ("BPR-MF", "clean", 1),
                                                              ("BPR-MF", "noisy", 0)]  # fmt: skip
    assert len({c.folder_name for c in cells}) == len(cells) == 8
    assert {(c.column, c.experiment.data.noise) for c in cells} == {("clean", 0.0), ("noisy", 0.1)}
    assert all(c.experiment.seed == c.seed and f"-s{c.seed}-" in c.folder_name for c in cells)
    assert cells[0].folder_name.startswith("bprmf-sample-s0-")
    assert cells[0].label == "BPR-MF | clean | seed 0"


def test_the_same_experiment_has_one_folder_in_all_rows_and_studies():
    one, other = study(), study(name="another", rows=(Row("x", LIGHTGCN), Row("y", LIGHTGCN)), seeds=(1,))
    cells = cells_of(other)
    assert len(cells) == 2
    assert len(distinct(cells)) == 1
    assert distinct(cells)[0].row == "x"
    assert cells[0].folder_name in {c.folder_name for c in cells_of(one) if c.row == "LightGCN"}


def test_the_folder_follows_from_content_and_not_from_where_it_lies(shop, tmp_path):
    row = Row("a", dataclasses.replace(LIGHTGCN, data=DataConfig(name="shop")))
    made = study(rows=(row,), seeds=(0,))
    (sample,), (first,) = cells_of(made), cells_of(made, data={"shop": str(shop)})
    moved = shop.rename(tmp_path / "moved.csv").rename(shop.parent / "shop.csv")
    (again,) = cells_of(made, data={"shop": str(moved)})
    moved.write_text("user,item\na,y\n")
    (changed,) = cells_of(made, data={"shop": str(moved)})
    assert first.folder_name == again.folder_name
    assert len({sample.folder_name, first.folder_name, changed.folder_name}) == 3
    assert first.experiment.data.path == str(shop)


def test_flags_reach_every_run_and_those_of_text_only_who_reads_it(tmp_path):
    made = study(rows=(Row("base", BPRMF), Row("LMMRec", LMMREC)), seeds=(0,))
    plain = {c.row: c for c in cells_of(made)}
    flagged = {c.row: c for c in cells_of(made, flags=["--train.epochs", "7", "--text.dim", "9", "--data.noise=0.2"])}
    assert {c.experiment.train.epochs for c in flagged.values()} == {7}
    assert {c.experiment.data.noise for c in flagged.values()} == {0.2}
    assert flagged["LMMRec"].experiment.text.dim == 9
    assert flagged["base"].experiment.text == plain["base"].experiment.text
    text = tmp_path / "text.npy"
    text.write_bytes(b"0")
    given = {c.row: c for c in cells_of(made, text={"sample": str(text)})}
    assert given["base"].folder_name == plain["base"].folder_name
    assert given["LMMRec"].folder_name != plain["LMMRec"].folder_name
    assert given["LMMRec"].experiment.text.path == str(text)


def test_flags_of_profiles_and_features_reach_only_who_reads_them(monkeypatch):
    monkeypatch.setattr(type(LIGHTGCN.model), "needs_profiles", True, raising=False)
    monkeypatch.setattr(type(BPRMF.model), "needs_features", True, raising=False)
    flags = ("--profiles.source", "none", "--features.text", "--text.source", "tfidf", "--text.dim", "9")
    of = {cell.row: cell.experiment for cell in cells_of(study(), flags=flags)}
    assert (of["LightGCN"].profiles.source, of["BPR-MF"].profiles.source) == ("none", "auto")
    assert (of["LightGCN"].features.text, of["BPR-MF"].features.text) == (False, True)
    assert (of["LightGCN"].text.dim, of["BPR-MF"].text.dim) == (LIGHTGCN.text.dim, 9)


def test_the_folder_follows_from_the_content_of_profiles(monkeypatch, tmp_path):
    monkeypatch.setattr(type(LIGHTGCN.model), "needs_profiles", True, raising=False)

    def folder(name, content):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "profiles.parquet").write_text(content)
        cells = cells_of(study(seeds=(0,)), flags=("--profiles.path", str(tmp_path / name)))
        return {cell.row: cell.folder_name for cell in cells}

    first = folder("a", "x")
    assert folder("b", "x") == first
    other = folder("b", "y")
    assert (other["BPR-MF"], other["LightGCN"] != first["LightGCN"]) == (first["BPR-MF"], True)
    assert "profiles.path: " in refused(study(), flags=("--profiles.path", str(tmp_path / "nowhere")))


def test_a_row_may_run_something_else_in_each_column():
    row = Row("a", {"one": LIGHTGCN, "two": BPRMF})
    made = study(rows=(row,), columns=(Column("one"), Column("two")), seeds=(0,))
    assert [c.experiment.model.name for c in cells_of(made)] == ["lightgcn", "bprmf"]


def test_a_mistake_is_told_with_study_row_and_column():
    assert "row BPR-MF, column sample: --train.epoch: no such flag" in refused(study(), flags=["--train.epoch", "3"])
    assert "train.epochs: found 0" in refused(study(), flags=["--train.epochs", "0"])
    assert "eval.k" in refused(study(metrics=("ndcg@7",)))
    assert "--data nowhere=…: no data set of this study" in refused(study(), data={"nowhere": "x"})
    assert "there are: sample" in refused(study(), data={"nowhere": "x"})
    assert "data.path: x does not exist" in refused(study(), data={"sample": "x"})
    assert "does not exist" in refused(study(rows=(Row("a", LMMREC),)), text={"sample": "nowhere"})
