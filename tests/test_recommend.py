"""`recommend` on a run of this process: raw ids out, seen items left out, mistakes in one line."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from jaxrec import launch, recommend
from jaxrec.command_line import run_command
from jaxrec.serve.recommender import Recommender

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run on a CSV, and its pairs."""
    folder = tmp_path_factory.mktemp("recommend")
    rng = np.random.default_rng(0)
    pairs = sorted({(f"user {u}", f"item [b]{i}") for u, i in rng.integers(0, (20, 30), (250, 2))})
    (folder / "my.csv").write_text("user,item\n" + "".join(f"{u},{i}\n" for u, i in pairs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXREC_CACHE", str(folder / "cache"))
        patch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
        status = run_command(
            launch.main,
            [
                "--config", str(CONFIGS / "bprmf_amazon_book.py"), "--workdir", str(folder / "run"),
                "--data.path", str(folder / "my.csv"), "--data.split", "ratio", "--train.epochs", "1",
                "--train.eval-every", "1", "--eval.save-topk", "5", "--devices.count", "1",
            ],
        )  # fmt: skip
        assert status == 0
        yield folder / "run", pairs


def run(*arguments):
    return run_command(recommend.main, [str(argument) for argument in arguments])


def refused(capsys, *arguments):
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    errors = [line for line in captured.err.splitlines() if line.startswith("jaxrec: error:")]
    assert len(errors) == 1
    return errors[0]


def test_json_holds_raw_ids_that_were_not_seen(finished, capsys):
    folder, pairs = finished
    assert run("--run", folder, "--user", "user 3", "--user", "user 4", "-k", 8, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["source"] == "path"
    items = {item for _, item in pairs}
    for user, found in zip(("user 3", "user 4"), record["users"], strict=True):
        seen = {item for other, item in pairs if other == user}
        listed = [entry["item"] for entry in found["items"]]
        assert found["user"] == user
        assert len(listed) == len(set(listed)) == 8
        assert set(listed) <= items - seen
        scores = [entry["score"] for entry in found["items"]]
        assert scores == sorted(scores, reverse=True)


def test_the_table_shows_ids_as_they_are(finished, capsys):
    folder, _ = finished
    assert run("--run", folder, "--user", "user 3", "-k", 2) == 0
    out = capsys.readouterr().out
    assert "user user 3" in out
    assert out.count("item [b]") == 2


def test_seen_items_on_demand(finished, capsys):
    folder, pairs = finished
    assert run("--run", folder, "--user", "user 3", "-k", 30, "--include-seen", "--json") == 0
    listed = [entry["item"] for entry in json.loads(capsys.readouterr().out)["users"][0]["items"]]
    assert set(listed) == {item for _, item in pairs}


def test_an_unknown_user_on_demand_gets_what_is_popular(finished, capsys):
    folder, _ = finished
    assert run("--run", folder, "--user", "nobody", "-k", 2, "--unknown-popularity", "--json") == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["users"][0]["items"]) == 2
    assert "nobody is not in the data" in captured.err


def test_text_and_the_sample_are_shown(finished, capsys, monkeypatch):
    folder, _ = finished
    loaded = Recommender.from_run(folder)
    texts = tuple(f"Title [i]of {raw},\n  {'and more ' * 20}" for raw in loaded.dataset.items.raw)
    loaded.dataset = dataclasses.replace(loaded.dataset, item_text=texts, source="sample")
    monkeypatch.setattr(Recommender, "from_run", lambda *_: loaded)
    assert run("--run", folder, "--user", "user 3", "-k", 2, "--json") == 0
    captured = capsys.readouterr()
    assert "built-in sample" in captured.err
    record = json.loads(captured.out)
    assert record["source"] == "sample"
    for entry in record["users"][0]["items"]:
        assert entry["text"].startswith(f"Title [i]of {entry['item']}, and more and")
        assert len(entry["text"]) == 60
    assert run("--run", folder, "--user", "user 3", "-k", 2) == 0
    assert "Title [i]of item" in capsys.readouterr().out


def test_mistakes_are_named(finished, tmp_path, capsys):
    folder, _ = finished
    assert "no such run folder" in refused(capsys, "--run", tmp_path / "nowhere", "--user", "user 3")
    assert "has not finished" in refused(capsys, "--run", tmp_path, "--user", "user 3")
    assert "nearest: user 3" in refused(capsys, "--run", folder, "--user", "user3")
    assert "between 1 and the 30 items" in refused(capsys, "--run", folder, "--user", "user 3", "-k", 31)
    assert "did you mean --user" in refused(capsys, "--run", folder, "--user", "user 3", "--usr", "x")
    assert "--run" in refused(capsys, "--user", "user 3")
    assert "-k" in refused(capsys, "--run", folder, "--user", "user 3", "-k", "many")
