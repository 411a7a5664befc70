"""One training under two protocols: what the run folder says of each."""

import json
import pathlib

import numpy as np
import pytest

from jaxrec.comparison.compare import compare_runs
from jaxrec.errors import UserError
from jaxrec.launch import main

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"
FLAGS = (
    "--data.split", "leave_one_out", "--train.epochs", "1", "--train.eval-every", "1", "--model.dim", "8",
    "--eval.protocols", "sampled99", "full", "--eval.cold-start-events", "10", "--devices.count", "1",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folders = []
    for seed in ("0", "1"):
        folder = tmp_path_factory.mktemp(f"seed{seed}") / "run"
        config = str(CONFIGS / "bprmf_amazon_book.py")
        assert main(["--config", config, "--workdir", str(folder), "--seed", seed, *FLAGS]) == 0
        folders.append(folder)
    return folders


def test_both_protocols_come_from_one_training(runs):
    result = json.loads((runs[0] / "result.json").read_text())
    assert result["main"] == "sampled99"
    assert list(result["protocols"]) == ["sampled99", "full"]
    sampled, full = result["protocols"]["sampled99"], result["protocols"]["full"]
    assert sampled["reference"]["random"]["hit@10"] == pytest.approx(0.1)
    assert full["reference"]["random"]["hit@10"] < 0.02
    assert sampled["single_target"]
    assert (sampled["masked"], full["masked"]) == ([], ["train", "valid"])
    assert full["candidates"] is None
    for record in (sampled, full):
        assert set(record["reference"]) == {"random", "popularity", "repeat_last"}
        cold = record["slices"]["cold_start"]
        assert 0 < cold["num_users"] < record["num_users"]
        assert set(cold["reference"]) == set(record["reference"])


def test_candidates_are_kept_and_shared_by_seeds(runs):
    drawn = [np.load(run / "candidates.npz") for run in runs]
    for name in drawn[0].files:
        np.testing.assert_array_equal(drawn[0][name], drawn[1][name])
    assert drawn[0]["test/negative_ids"].shape[1] == 99
    hashes = {json.loads((run / "result.json").read_text())["protocols"]["sampled99"]["candidates"] for run in runs}
    assert len(hashes) == 1


def test_compare_takes_the_main_protocol_of_the_first_run(runs):
    comparison = compare_runs(runs, None, "test", ("hit@10",))
    assert comparison.protocol == "sampled99"
    assert compare_runs(runs, "full", "test", ("hit@10",)).systems[0].metrics["hit@10"].mean < 0.2
    with pytest.raises(UserError, match="has no protocol 'retrieved'"):
        compare_runs(runs, "retrieved", "test")


def test_a_table_that_no_ranking_gives_is_refused(runs, tmp_path):
    changed = tmp_path / "changed"
    changed.mkdir()
    result = json.loads((runs[0] / "result.json").read_text())
    result["protocols"]["full"]["test"]["ndcg@10"] = 0.9
    (changed / "result.json").write_text(json.dumps(result))
    (changed / "config.json").write_text((runs[0] / "config.json").read_text())
    with pytest.raises(UserError, match=r"full, test part: ndcg@10 = 0.9 is above hit@10 .* no ranking can give"):
        compare_runs([changed, runs[1]], "full", "test")
