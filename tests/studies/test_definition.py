"""Study files: what they give, and how one that makes no sense is told."""

import pathlib

import pytest

from jaxrec.config.fields import leaves
from jaxrec.errors import UserError
from jaxrec.studies import Column, Figure, Row
from jaxrec.studies.cells import Overrides, make_cells
from jaxrec.studies.definition import check_study, load_study
from tests.studies.making import BPRMF, LIGHTGCN, study

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "configs" / "studies").glob("*.py"))


# Rows that train for the same time at most, and not for the same number of steps: what is cheap goes on for longer.
SAME_TIME = dict.fromkeys(
    ("uim_ml1m_small", "uim_ml1m_small_sampled"), ("train.epochs", "train.batch_size", "train.eval_every")
)


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_can_be_run(path):
    made = load_study(path)
    assert made.name == path.stem
    cells = make_cells(made, Overrides())
    assert len(cells) == sum(len(made.seeds_of(row)) for row in made.rows) * len(made.columns)
    documentation = path.read_text().split('"""')[1]
    assert f"python -m jaxrec.study configs/studies/{path.name}" in documentation
    for entry in ("Paper:", "Command:", "Hardware:", "Wall time:", "Result:"):
        assert entry in documentation, entry


def test_every_row_of_a_shipped_study_has_the_same_training_and_data():
    """A row that trains longer or on other data would win for that."""
    for path in SHIPPED:
        made = load_study(path)
        for column in made.columns:
            settings = [{leaf.name: leaf.value for leaf in leaves(made.experiment(row, column))} for row in made.rows]
            for name in settings[0]:
                if name.startswith(("train.", "data.", "eval.")) and name not in SAME_TIME.get(path.stem, ()):
                    assert len({str(values[name]) for values in settings}) == 1, (path.stem, column.label, name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "a/b"}, ["name", "a/b"]),
        ({"rows": ()}, ["rows", "none"]),
        ({"seeds": (1, 1)}, ["seeds", "each once"]),
        ({"seeds": (-1,)}, ["seeds"]),
        ({"metrics": ("ndcg",)}, ["metrics", "ndcg@10"]),
        ({"part": "train"}, ["part", "valid or test"]),
        ({"also": ("full",)}, ["also", "each protocol once"]),
        ({"rows": (Row("a", LIGHTGCN, num_seeds=0),)}, ["row a", "num_seeds", "1 or more"]),
        ({"rows": (Row("a", LIGHTGCN), Row("a", BPRMF))}, ["rows", "a, a"]),
        ({"rows": (Row("a", LIGHTGCN, ("b",)),)}, ["row a", "against", "b"]),
        ({"rows": (Row("a", LIGHTGCN, ("a",)),)}, ["row a", "against"]),
        ({"rows": (Row("a", {"other": LIGHTGCN}),)}, ["row a", "sample"]),
        ({"rows": (Row("a", {"sample": 3}),)}, ["row a", "found int"]),
        ({"rows": (Row("a", LIGHTGCN, published={"sample": (0.1,)}),)}, ["published", "1 values", "2, one a metric"]),
        ({"figure": Figure("x")}, ["figure", "no x", "sample"]),
        ({"figure": Figure("x", ("mrr@10",)), "columns": (Column("c", x=1.0),)}, ["figure.metrics", "mrr@10"]),
    ],
)
def test_a_study_that_makes_no_sense_names_the_field(changes, words):
    with pytest.raises(UserError) as error:
        check_study(study(**changes))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_file_without_a_study_is_told_with_its_name(tmp_path):
    path = tmp_path / "mine.py"
    for text, words in (("x = 1\n", "has no function get_study"), ("def get_study(): return 3\n", "returned int")):
        path.write_text(text)
        with pytest.raises(UserError, match=words) as error:
            load_study(path)
        assert str(path) in str(error.value)


def test_seeds_are_cut_or_go_on():
    assert study(seeds=(3, 5)).with_seeds(1).seeds == (3,)
    assert study(seeds=(3, 5)).with_seeds(4).seeds == (3, 5, 6, 7)
    row = Row("a", LIGHTGCN, num_seeds=2)
    assert study(seeds=(3, 5, 6)).seeds_of(row) == (3, 5)
    assert study(seeds=(3, 5, 6)).with_seeds(1).seeds_of(row) == (3,)
