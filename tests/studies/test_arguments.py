"""Arguments of the command: its own flags, and what it leaves to the experiments."""

import pathlib

import pytest

from jaxrec.errors import UserError
from jaxrec.studies.arguments import split_study_arguments


def test_its_own_flags_stand_anywhere_and_the_rest_is_left():
    found = split_study_arguments(
        ["--jobs", "2", "s.py", "--train.epochs", "3", "--workdir=w", "--data", "yelp=a", "steam=b=c",
         "--text", "yelp=t", "--runs", "r", "--data=toys=d", "--eval.k", "5", "10", "--seeds", "4", "--table-only"]
    )  # fmt: skip
    assert found.path == pathlib.Path("s.py")
    assert (found.workdir, found.runs) == (pathlib.Path("w"), pathlib.Path("r"))
    assert (found.jobs, found.seeds, found.table_only) == (2, 4, True)
    assert found.data == {"yelp": "a", "steam": "b=c", "toys": "d"}
    assert found.text == {"yelp": "t"}
    assert found.flags == ["--train.epochs", "3", "--eval.k", "5", "10"]


def test_nothing_is_given_by_default():
    found = split_study_arguments(["s.py"])
    assert found[1:] == (None, None, None, None, {}, {}, False, [], [])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["FILE is missing"]),
        (["--train.epochs", "3", "s.py"], ["FILE is missing"]),
        (["s.py", "--jobs", "0"], ["--jobs", "'0'", "from 1"]),
        (["s.py", "--jobs", "two"], ["--jobs", "'two'"]),
        (["s.py", "--workdir"], ["--workdir", "no value", "folder"]),
        (["s.py", "--seeds", "--jobs", "2"], ["--seeds", "no value", "whole number"]),
        (["s.py", "--jobs", "1", "--jobs", "2"], ["--jobs", "twice"]),
        (["s.py", "--data"], ["--data", "no value", "NAME=PATH"]),
        (["s.py", "--data=x"], ["--data", "'x'", "NAME=PATH"]),
        (["s.py", "--data", "yelp"], ["--data", "'yelp'", "NAME=PATH"]),
        (["s.py", "--data", "yelp=a", "yelp=b"], ["--data yelp", "twice", "a and b"]),
        (["s.py", "--seed", "3"], ["--seed: ", "--seeds N"]),
        (["s.py", "--seed=3"], ["--seed: ", "--seeds N"]),
        (["s.py", "--data", "=x"], ["--data", "'=x'"]),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed(argv, words):
    with pytest.raises(UserError) as error:
        split_study_arguments(argv)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_flags_of_agents_stand_apart_with_their_values():
    words = ["--refine.backend", "local", "--train.epochs", "3", "--refine.local.checkpoint=x", "--eval.k", "5", "10"]
    found = split_study_arguments(["s.py", *words, "--refine.no-motivations", "--text.dim", "9"])
    assert found.flags == ["--train.epochs", "3", "--eval.k", "5", "10", "--text.dim", "9"]
    assert found.refine == ["--refine.backend", "local", "--refine.local.checkpoint=x", "--refine.no-motivations"]


def test_help_names_the_studies_here(capsys, monkeypatch):
    monkeypatch.chdir(pathlib.Path(__file__).resolve().parents[2])
    with pytest.raises(SystemExit) as stop:
        split_study_arguments(["--help"])
    assert stop.value.code == 0
    assert "configs/studies/lmmrec_table1.py" in capsys.readouterr().out
