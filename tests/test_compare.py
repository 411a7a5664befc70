"""The comparison of runs, on run folders with planted values."""

import json

import numpy as np
import pytest

from jaxrec import compare
from jaxrec.command_line import run_command
from jaxrec.comparison.compare import compare_runs
from jaxrec.config import Experiment, to_json
from jaxrec.models.registry import config_class

NUM_USERS = 200


def write_run(folder, values, *, name="lightgcn_tiny", model="lightgcn", seed=0, sha="a" * 64, masked=None, **fields):
    """A finished run whose test ndcg@10 and recall@10 of each user are `values`; fields: of the model's config."""
    folder.mkdir()
    experiment = Experiment(config_class(model)(**fields), seed=seed, name=name)
    metrics = {"ndcg@10": float(np.mean(values)), "recall@10": float(np.mean(values)) / 2, "coverage@10": 0.5}
    protocol = {
        "k": [10],
        "masked": masked or ["train", "valid"],
        "num_users": len(values),
        "candidates": None,
        "valid": metrics,
        "test": metrics,
        "reference": {"random": {"ndcg@10": 0.01}, "popularity": {"ndcg@10": 0.05, "recall@10": 0.02}},
    }
    result = {
        "schema": 1,
        "status": "done",
        "name": name,
        "model": model,
        "seed": seed,
        "dataset": {"name": "tiny", "source": "path", "sha256": sha},
        "protocols": {"full": protocol},
        "versions": {"jax": "0"},
    }
    (folder / "config.json").write_text(json.dumps({"schema": 1, "experiment": to_json(experiment)}))
    (folder / "result.json").write_text(json.dumps(result))
    # Each run has its own order of users: alignment is by id.
    order = np.random.default_rng(seed).permutation(len(values))
    arrays = {
        "user_ids": np.asarray([f"user {i}" for i in order]),
        "ndcg@10": values[order],
        "recall@10": values[order] / 2,
    }
    np.savez(folder / "per_user.npz", **{f"test/{key}": array for key, array in arrays.items()})
    return folder


@pytest.fixture
def base():
    return np.random.default_rng(0).random(NUM_USERS)


@pytest.fixture
def folders(tmp_path, base):
    """Two seeds of a system, two seeds of a better one (by 0.03 for most users)."""
    rng = np.random.default_rng(1)
    better = np.clip(base + rng.normal(0.03, 0.05, NUM_USERS), 0, None)
    return [
        write_run(tmp_path / "a0", base, seed=0),
        write_run(tmp_path / "a1", base + 0.01, seed=1),
        write_run(tmp_path / "b0", better, name="bprmf_tiny", model="bprmf", seed=0),
        write_run(tmp_path / "b1", better + 0.01, name="bprmf_tiny", model="bprmf", seed=1),
    ]


def run(*arguments):
    return run_command(compare.main, [str(argument) for argument in arguments])


def refused(capsys, *arguments):
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_seeds_are_averaged_and_the_better_system_gets_the_star(folders, base):
    comparison = compare_runs(folders, "full", "test")
    assert comparison.metric_names == ("recall@10", "ndcg@10")
    first, second = comparison.systems
    assert (first.name, second.name) == ("lightgcn_tiny", "bprmf_tiny")
    assert first.seeds == (0, 1)
    assert first.metrics["ndcg@10"].mean == pytest.approx(base.mean() + 0.005)
    assert first.metrics["ndcg@10"].deviation == pytest.approx(np.std([0, 0.01], ddof=1))
    assert comparison.best == {"ndcg@10": "bprmf_tiny", "recall@10": "bprmf_tiny"}
    assert comparison.starred == {"ndcg@10", "recall@10"}
    assert comparison.tests["ndcg@10"]["lightgcn_tiny"].t_test < 1e-6


def test_noise_gets_no_star(tmp_path, base):
    noisy = base + np.random.default_rng(5).normal(0.0005, 0.3, NUM_USERS)
    left = write_run(tmp_path / "a", base)
    right = write_run(tmp_path / "b", noisy, name="other", model="bprmf", seed=3)
    comparison = compare_runs([left, right], "full", "test", ["ndcg@10"])
    assert comparison.starred == frozenset()
    notes = " ".join(comparison.notes)
    assert "one seed has no deviation" in notes
    assert "do not have the same seeds (lightgcn_tiny: 0; other: 3)" in notes


def test_two_configurations_of_one_name_are_told_apart(tmp_path, base):
    left = write_run(tmp_path / "a", base, dim=32)
    right = write_run(tmp_path / "b", base + 0.1, dim=64)
    comparison = compare_runs([left, right], "full", "test")
    assert [system.name for system in comparison.systems] == ["lightgcn_tiny", "lightgcn_tiny #2"]
    assert (
        "lightgcn_tiny #2 differs from lightgcn_tiny first in model.dim: 32 in lightgcn_tiny, 64 there"
        in comparison.notes
    )


def test_the_table_holds_deviations_star_and_references(folders, capsys):
    assert run(*folders) == 0
    out = capsys.readouterr().out
    best = next(line for line in out.splitlines() if "bprmf_tiny" in line)
    assert best.count("±") == 2
    assert best.count("*") == 2
    assert "0.0500" in next(line for line in out.splitlines() if "popularity" in line)
    assert "Wilcoxon" in out


def test_markdown_and_json(folders, tmp_path, capsys):
    assert run(*folders, "--markdown", "--metric", "ndcg@10", "--json", tmp_path / "out.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "|  | seeds | ndcg@10 |"
    assert lines[1] == "| --- | ---: | ---: |"
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["systems"]["bprmf_tiny"]["seeds"] == [0, 1]
    assert record["starred"] == ["ndcg@10"]
    assert record["reference"]["random"] == {"ndcg@10": 0.01}
    assert record["tests"]["ndcg@10"]["lightgcn_tiny"]["holm"] < 0.05


def test_coverage_has_no_test_but_is_shown(folders):
    comparison = compare_runs(folders, "full", "test", ["coverage@10"])
    assert comparison.tests == {}
    assert comparison.systems[0].metrics["coverage@10"].mean == 0.5


def test_runs_that_must_not_be_compared_are_refused(folders, tmp_path, base, capsys):
    other_data = write_run(tmp_path / "data", base, sha="b" * 64)
    assert "is not the data tiny aaaaaaaaaaaa" in refused(capsys, folders[0], other_data)
    other_masks = write_run(tmp_path / "masks", base, masked=["train"])
    assert "masked of protocol 'full' is ['train']" in refused(capsys, folders[0], other_masks)
    again = write_run(tmp_path / "again", base)
    assert "the same configuration and seed 0" in refused(capsys, folders[0], again)


def test_mistakes_are_named(folders, tmp_path, capsys):
    assert "no such run folder" in refused(capsys, folders[0], tmp_path / "nowhere")
    (tmp_path / "unfinished").mkdir()
    assert "has not finished" in refused(capsys, tmp_path / "unfinished")
    assert "--metric ndcg@7: not in every run; there are: ndcg@10" in refused(capsys, *folders, "--metric", "ndcg@7")
    assert "has no protocol 'sampled99', there are: full" in refused(capsys, *folders, "--protocol", "sampled99")
    assert "did you mean --metric" in refused(capsys, *folders, "--metrik", "ndcg@10")
    assert "RUN" in refused(capsys)
    (folders[0] / "result.json").write_text("{")
    assert "result.json:1" in refused(capsys, *folders)


def test_without_values_of_users_there_is_a_table_and_no_test(folders, capsys):
    (folders[3] / "per_user.npz").unlink()
    assert run(*folders) == 0
    out = capsys.readouterr().out
    assert "note: no test:" in out
    assert "±" in out
    assert "t-test p =" not in out


def test_curves_are_drawn_of_what_was_logged(tmp_path, folders, capsys):
    path = tmp_path / "curve.png"
    assert "none of these runs has validated" in refused(capsys, *folders, "--curve", path)
    for folder in folders:
        lines = [{"epoch": e, "split": "valid", "metrics": {"ndcg@10": 0.1 * e, "recall@10": 0.2}} for e in (1, 2, 3)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(*folders, "--curve", path) == 0
    capsys.readouterr()
    assert path.read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.partial"))
    assert "cannot be written" in refused(capsys, *folders, "--curve", tmp_path / "no" / "curve.png")


def test_several_targets_a_user_are_said_beside_the_table(folders, capsys):
    assert run_command(compare.main, [*map(str, folders), "--markdown"]) == 0
    assert "- test part, full ranking" in capsys.readouterr().out
    for folder in folders:
        path = folder / "result.json"
        result = json.loads(path.read_text())
        result["protocols"]["full"]["single_target"] = False
        path.write_text(json.dumps(result))
    assert run_command(compare.main, [str(folder) for folder in folders]) == 0
    assert "test part, multi_target_full ranking" in capsys.readouterr().out
    assert compare_runs(folders, "full", "test").ranking == "multi_target_full"
