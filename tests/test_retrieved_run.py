"""From a run to its pools to another run in these pools: what the folders and the terminal say."""

import json
import pathlib

import pytest

from jaxrec.command_line import run_command
from jaxrec.comparison.compare import compare_runs
from jaxrec.launch import main as launch
from jaxrec.precompute.__main__ import main as precompute

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"
LAUNCH = (
    "--config", str(CONFIGS / "popularity_amazon_book.py"), "--data.split", "leave_one_out", "--devices.count", "1",
    "--eval.k", "5", "10",
)  # fmt: skip


def test_pools_of_a_run_are_ranked_beside_chance_and_the_retriever(tmp_path, capsys):
    retriever = tmp_path / "retriever"
    assert launch([*LAUNCH, "--train.monitor", "ndcg@10", "--workdir", str(retriever)]) == 0
    stage = [
        "--config",
        str(CONFIGS / "precompute_sample.py"),
        "--out",
        str(tmp_path / "made"),
        "--steps",
        "candidates",
    ]
    stage += ["--data.split", "leave_one_out", "--candidates.count", "20"]
    assert run_command(precompute, stage) == 2
    assert "candidates.retriever: found none" in capsys.readouterr().err
    assert run_command(precompute, [*stage, "--candidates.retriever", str(retriever)]) == 0
    (pools,) = (tmp_path / "made" / "sample").glob("candidates-*")
    manifest = json.loads((pools / "manifest.json").read_text())
    assert manifest["complete"]
    assert manifest["retriever"]["model"] == "popularity"
    capsys.readouterr()

    run, flags = tmp_path / "run", ["--eval.protocols", "retrieved", "full", "--eval.pools", str(pools)]
    assert launch([*LAUNCH, *flags, "--workdir", str(run)]) == 0
    said, result = capsys.readouterr().out, json.loads((run / "result.json").read_text())
    found = result["protocols"]["retrieved"]
    share = manifest["counts"]["targets_found"] / manifest["counts"]["evaluation_users"]
    assert found["num_users"] == manifest["counts"]["evaluation_users"] == 500
    assert found["reference"]["random"]["hit@10"] == pytest.approx(share * 10 / 20)
    assert set(found["reference"]) == {"random", "retriever", "popularity"}
    assert found["slices"]["in_pool"]["reference"]["random"]["hit@10"] == pytest.approx(0.5)
    assert found["single_target"]
    # The same model ranks as it retrieved, but for ties.
    assert found["test"]["hit@10"] == pytest.approx(found["reference"]["retriever"]["hit@10"], abs=0.01)
    assert result["config_hash"] != json.loads((retriever / "result.json").read_text())["config_hash"]
    assert "retrieved ranking of the 20 candidates of a retriever, which hold the target of" in said
    assert "against the retriever's own order" in said
    assert "the retriever, full ranking, the same users" in said
    assert compare_runs([run], "retrieved", "test", ("hit@10",)).references["random"]["hit@10"] == share / 2
