"""SEALR through the main command, from reviews to lists: once made, everything is found again."""

import json
import pathlib

import numpy as np
import pytest

from jaxrec import launch, recommend
from jaxrec.command_line import run_command

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"
TINY = [
    "--model.candidates.retriever-config", str(CONFIGS / "popularity_amazon_book.py"), "--model.candidates.count", "12",
    "--model.tuning.epochs", "1", "--model.tuning.hidden-dim", "16", "--model.tuning.num-layers", "1",
    "--model.tuning.num-heads", "2", "--model.tuning.user-limit", "16", "--model.ranking.user-limit", "16",
    "--model.prompt.history", "4",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_reviews_to_a_table_and_lists_with_their_reasons(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    monkeypatch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
    arguments = ["--config", str(CONFIGS / "sealr_sample.py"), "--model.out", str(tmp_path / "made"), *TINY]
    arguments += ["--devices.count", "1"]
    assert run_command(launch.main, [*arguments, "--workdir", str(tmp_path / "run")]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    record = result["protocols"]["retrieved"]
    assert record["num_users"] == 16
    assert set(record["reference"]) == {"random", "retriever", "popularity"}
    share = record["slices"]["in_pool"]["num_users"] / 16
    np.testing.assert_allclose(record["reference"]["random"]["hit@10"], share * 10 / 12)
    assert result["rankings"]["placed_by_model"] == 12
    capsys.readouterr()

    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*.npz")}
    assert run_command(launch.main, [*arguments, "--workdir", str(tmp_path / "again")]) == 0
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*.npz")}
    again = json.loads((tmp_path / "again" / "result.json").read_text())
    assert again["config_hash"] == result["config_hash"]
    assert again["protocols"] == result["protocols"]
    capsys.readouterr()

    user = result["example_user"]
    assert run_command(recommend.main, ["--run", str(tmp_path / "run"), "--user", user, "-k", "3", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["users"]
    assert len(listed["told"]) == 4
    assert {one["sentiment"].split()[-1] for one in listed["told"]} <= {"Positive", "Neutral", "Negative"}
    assert all(1 <= item["retriever_place"] <= 12 and item["placed_by_model"] for item in listed["items"])
    assert run_command(recommend.main, ["--run", str(tmp_path / "run"), "--history", "item_0001"]) == 2
    assert "whose candidates a model chose that reads histories" in capsys.readouterr().err.replace("\n", " ")
