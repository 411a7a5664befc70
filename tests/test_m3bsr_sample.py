"""M3BSR on the sample from end to end, in small: both protocols, resumed to the last bit, inspected."""

import json
import os
import pathlib
import signal
from collections import Counter

import jax
import numpy as np
import pytest

from jaxrec import inspect_run, launch
from jaxrec.command_line import run_command
from jaxrec.eval.identities import impossibilities
from jaxrec.train.metrics_log import MetricsLog

CONFIG = str(pathlib.Path(__file__).resolve().parents[1] / "configs" / "m3bsr_sample.py")
SMALL = [
    "--data.filter.min-events", "70", "--eval.cold-start-events", "75", "--train.epochs", "2",
    "--train.batch-size", "512", "--train.optimizer.learning-rate", "0.01", "--train.patience", "0", "--model.dim", "8",
    "--model.id-dim", "4", "--model.num-heads", "2", "--model.max-length", "4", "--model.modality.num-steps", "3",
    "--model.behavior.num-steps", "3", "--devices.count", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A whole run, and the place where the others of this module go."""
    folder = tmp_path_factory.mktemp("m3bsr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXREC_CACHE", str(folder / "cache"))
        patch.delenv("JAXREC_DATA", raising=False)
        patch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
        # Most of the time would go into making programs fast that run for moments.
        before = jax.config.read("jax_disable_most_optimizations")
        jax.config.update("jax_disable_most_optimizations", True)
        assert start(folder / "whole") == 0
        yield folder
        jax.config.update("jax_disable_most_optimizations", before)


def start(workdir, *more):
    return run_command(launch.main, ["--config", CONFIG, "--workdir", str(workdir), *SMALL, *more])


def test_one_training_is_ranked_by_both_protocols_with_a_slice_of_users_of_few_events(folder):
    result = json.loads((folder / "whole" / "result.json").read_text())
    assert list(result["protocols"]) == ["sampled99", "full"]
    assert set(result["features"]["modalities"]) == {"image", "text"}
    num_users = result["dataset"]["num_users"]
    for record in result["protocols"].values():
        assert record["num_users"] == num_users > 100
        assert set(record["reference"]) == {"random", "popularity", "repeat_last"}
        assert not impossibilities(record["test"], True)
        cold = record["slices"]["cold_start"]
        assert (cold["events"], 0 < cold["num_users"] < num_users) == (75, True)
        assert not impossibilities(cold["test"], True)
    sampled = result["protocols"]["sampled99"]
    assert sampled["reference"]["random"]["hit@10"] == pytest.approx(0.1)
    assert sampled["test"]["ndcg@10"] > sampled["reference"]["random"]["ndcg@10"]
    with np.load(folder / "whole" / "candidates.npz") as saved:
        assert saved.files
    losses = [json.loads(line) for line in (folder / "whole" / "metrics.jsonl").read_text().splitlines()]
    parts = {"softmax", "contrast", "modality_diffusion", "behavior_diffusion"}
    assert all(parts <= set(line["metrics"]) for line in losses if line["split"] == "train")


@pytest.mark.slow
def test_interrupted_and_resumed_it_ends_with_the_same_bits(folder, monkeypatch, capsys):
    write = MetricsLog.write

    def interrupt(self, *values, **named):
        if not interrupted and "valid" in (*values, *named.values()):
            interrupted.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
        return write(self, *values, **named)

    interrupted = []
    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", interrupt)
        with pytest.raises(SystemExit):
            start(folder / "parts")
    assert interrupted
    assert not (folder / "parts" / "result.json").exists()
    assert start(folder / "parts") == 0
    assert "resumed from the checkpoint" in capsys.readouterr().err
    results = [json.loads((folder / name / "result.json").read_text()) for name in ("whole", "parts")]
    assert results[0]["protocols"] == results[1]["protocols"]
    assert results[0]["best_step"] == results[1]["best_step"]
    saved = [np.load(folder / name / "per_user.npz") for name in ("whole", "parts")]
    assert all(saved[0][name].tobytes() == saved[1][name].tobytes() for name in saved[0].files)


def test_a_run_is_inspected(folder, capsys):
    pytest.importorskip("openTSNE", reason="the plots extra is not installed")
    out = folder / "inspected"
    assert run_command(inspect_run.main, [str(folder / "whole"), "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"inspection.json", "inspection.md", "experts.png", "features.png"}
    (record,) = json.loads((out / "inspection.json").read_text())["runs"]
    assert next(iter(record["experts"])) == "shared"
    assert len(record["experts"]) == 7
    assert sum(record["experts"].values()) == pytest.approx(1, abs=1e-5)
    # Three measures of two modalities; only clicks go through the second stage.
    stages = [(error["behavior"], error["stage"]) for error in record["errors"]]
    assert Counter(stages) == dict.fromkeys([("click", "modality"), ("click", "both"), ("favor", "modality")], 2 * 3)
    assert all(np.isfinite([e["raw"], e["denoised"]]).all() for e in record["errors"])
    assert {a["measure"] for a in record["accidents"]} == {"removed", "attention"}
    assert set(record["compactness"]) == {"image, raw", "image, after CDMD", "text, raw", "text, after CDMD"}
    assert record["seconds_per_prediction"] > 0
    assert "| expert | share |" in capsys.readouterr().out


def test_a_run_of_another_model_is_refused(folder, capsys):
    config = CONFIG.replace("m3bsr_sample", "popularity_amazon_book")
    arguments = ["--config", config, "--data.split", "ratio", "--workdir", str(folder / "popularity")]
    assert run_command(launch.main, arguments) == 0
    capsys.readouterr()
    assert run_command(inspect_run.main, [str(folder / "popularity"), "--out", str(folder / "x")]) == 2
    assert "found a run of popularity, allowed: m3bsr" in capsys.readouterr().err
