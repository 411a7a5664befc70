"""The run that chose the candidates: as given, as recorded, beside them, or a line that says which flag names it."""

import json

import pytest

from jaxrec.errors import UserError
from jaxrec.ranker import folders
from jaxrec.ranker.folders import needed_folder, retriever_folder, write_retriever

TOLD = {"model": "sasrec", "config_hash": "0123456789ab", "best_step": 3}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def candidates(tmp_path):
    write(tmp_path / "out" / "candidates-1" / "manifest.json", {"retriever": TOLD})
    return tmp_path / "out" / "candidates-1"


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    monkeypatch.setattr(folders, "recorded_run", lambda run: (None, json.loads((run / "result.json").read_text())))


def test_places_are_looked_at_in_order_and_only_the_same_run_will_do(candidates, tmp_path):
    beside = (candidates.parent, tmp_path / "runs")
    with pytest.raises(UserError, match=r"hash 0123456789ab, is not beside them; allowed: --retriever DIR, its folder"):
        retriever_folder(candidates, None, None, beside)
    write(tmp_path / "runs" / "a" / "result.json", TOLD | {"best_step": 4})
    write(tmp_path / "runs" / "b" / "result.json", [])
    write(tmp_path / "runs" / "d" / "result.json", TOLD)
    assert retriever_folder(candidates, None, None, beside) == tmp_path / "runs" / "d"
    write(tmp_path / "recorded" / "result.json", TOLD)
    write_retriever(candidates, tmp_path / "recorded")
    assert retriever_folder(candidates, None, None, beside) == tmp_path / "recorded"
    write(tmp_path / "known" / "result.json", TOLD)
    assert retriever_folder(candidates, None, str(tmp_path / "known"), beside) == tmp_path / "known"
    write(tmp_path / "known" / "result.json", TOLD | {"config_hash": "f" * 12})
    assert retriever_folder(candidates, None, str(tmp_path / "known"), beside) == tmp_path / "recorded"
    (tmp_path / "recorded" / "result.json").unlink()
    with pytest.raises(UserError, match=r"is not at .*recorded, where it lay, nor beside them"):
        retriever_folder(candidates, None, None, ())


def test_a_given_run_must_be_the_one(candidates, tmp_path):
    write(tmp_path / "mine" / "result.json", TOLD)
    assert retriever_folder(candidates, tmp_path / "mine", "nowhere", ()) == tmp_path / "mine"
    write(tmp_path / "mine" / "result.json", TOLD | {"model": "uim", "config_hash": "f" * 12})
    with pytest.raises(
        UserError, match=r"found a run of uim with hash f{12}, allowed: .* sasrec with hash 0123456789ab"
    ):
        retriever_folder(candidates, tmp_path / "mine", None, ())


def test_what_a_manifest_does_not_say_is_named(candidates, tmp_path):
    write(tmp_path / "out" / "ranking-1" / "manifest.json", {"needs": {"candidates": "candidates-1"}})
    assert needed_folder(tmp_path / "out" / "ranking-1", "candidates") == candidates
    with pytest.raises(UserError, match="does not name the folder of the step tuning; make the step ranking anew"):
        needed_folder(tmp_path / "out" / "ranking-1", "tuning")
    write(candidates / "manifest.json", {"retriever": {"model": "sasrec"}})
    with pytest.raises(UserError, match="does not say which run chose the candidates"):
        retriever_folder(candidates, None, None, ())
