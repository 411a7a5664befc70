"""The main command from end to end, in this process: runs, resumes, and what bad input gets."""

import gzip
import json
import os
import pathlib

import numpy as np
import pytest

from jaxrec import launch
from jaxrec.command_line import run_command

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"
QUICK = ["--train.epochs", "2", "--train.eval-every", "1", "--devices.count", "1"]


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    """Every test has a working folder and a cache of its own, and no data from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    monkeypatch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)


def start(config, *arguments):
    return run_command(launch.main, ["--config", str(CONFIGS / f"{config}.py"), *arguments])


def refused(capsys, config, *arguments):
    """The one line that a user's mistake gets."""
    assert start(config, *arguments) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("jaxrec: error:")]
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    return lines[0]


def write_csv(path, rows=None, header="user,item,rating,timestamp", ending="\n"):
    if rows is None:
        rng = np.random.default_rng(0)
        pairs = sorted({(int(u), int(i)) for u, i in rng.integers(0, (25, 40), (500, 2))})
        rows = [f"u{u},i{i},{1 + (u + i) % 5},{1000 + n}" for n, (u, i) in enumerate(pairs)]
    path.write_text(ending.join([header, *rows]) + ending, newline="")
    return path


def test_a_run_on_the_sample_says_so_and_leaves_a_whole_run_folder(tmp_path, capsys):
    assert start("lmmrec_steam", "--workdir", "run", *QUICK) == 0
    captured = capsys.readouterr()
    assert "built-in sample" in captured.err
    assert "built-in sample" in captured.out
    for row in ("lmmrec", "random", "popularity"):
        assert row in captured.out
    assert "python -m jaxrec.recommend --run run" in captured.out
    folder = tmp_path / "run"
    result = json.loads((folder / "result.json").read_text())
    assert result["schema"] == 1
    assert result["dataset"]["source"] == "sample"
    protocol = result["protocols"]["full"]
    assert protocol["masked"] == ["train", "valid"]
    assert protocol["reference"].keys() == {"random", "popularity"}
    assert {"recall@5", "hit@10", "ndcg@20", "precision@5", "mrr@10", "map@20"} <= protocol["test"].keys()
    assert {path.name for path in folder.iterdir()} >= {
        "config.json", "data.json", "env.json", "metrics.jsonl", "result.json", "checkpoints", "topk.npz",
        "per_user.npz",
    }  # fmt: skip
    with np.load(folder / "per_user.npz") as saved:
        assert saved["test/ndcg@10"].mean() == pytest.approx(protocol["test"]["ndcg@10"])


@pytest.mark.slow
def test_lmmrec_learns_what_is_planted_in_the_sample(tmp_path):
    assert start("lmmrec_steam", "--workdir", "run", "--devices.count", "1") == 0
    protocol = json.loads((tmp_path / "run" / "result.json").read_text())["protocols"]["full"]
    assert protocol["test"]["ndcg@10"] >= 1.3 * protocol["reference"]["popularity"]["ndcg@10"]


def test_a_finished_run_prints_its_result_and_trains_no_more(tmp_path, capsys):
    assert start("lightgcn_amazon_book", "--workdir", "run", *QUICK) == 0
    first = capsys.readouterr().out
    before = (tmp_path / "run" / "result.json").stat().st_mtime_ns
    assert start("lightgcn_amazon_book", "--workdir", "run", *QUICK) == 0
    assert capsys.readouterr().out == first
    assert (tmp_path / "run" / "result.json").stat().st_mtime_ns == before


def test_the_default_folder_is_named_by_config_and_hash_and_a_seed_has_its_own(tmp_path, capsys):
    for seed in ("0", "1"):
        assert start("bprmf_amazon_book", "--seed", seed, *QUICK) == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(names) == 2
    assert all(name.startswith("bprmf_amazon_book-") for name in names)


def test_one_csv_with_a_ratio_split(tmp_path, capsys):
    write_csv(tmp_path / "my.csv")
    arguments = ["--data.path", "my.csv", "--data.split", "ratio", "--workdir", "run"]
    assert start("lightgcn_amazon_book", *arguments, "--eval.save-topk", "5", "--profile", "0:1", *QUICK) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["dataset"]["source"] == "path"
    assert result["dataset"]["num_users"] == 25
    said = capsys.readouterr().err
    assert "built-in sample" not in said
    assert "profile of steps 0 to 0 in run/profile" in said
    assert "jit_run" in (tmp_path / "run" / "profile" / "summary.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model.dmi", "64"], "--model.dim"),
        (["--model.dim", "wide"], "--model.dim"),
        (["--train.batch-size", "0"], "train.batch_size"),
        (["--train.monitor", "ndcg@7"], "train.monitor"),
        (["--data.split", "half"], "--data.split"),
        (["--data.path", "nowhere"], "nowhere"),
        (["--data.require-real"], "require"),
        (["--eval.k", "5", "10", "10000"], "10000"),
        (["--model.dim", "30", "--devices.count", "8"], "30"),
        (["--devices.count", "9"], "devices.count"),
        (["--data.ratio", "1", "1", "0"], "data.ratio"),
        (["--train.optimizer.learning-rate", "-1"], "learning_rate"),
    ],
)
def test_a_mistake_in_the_flags_is_one_line(arguments, expected, capsys, tmp_path):
    assert expected in refused(capsys, "lightgcn_amazon_book", *arguments)
    assert not (tmp_path / "runs").exists()


def bad_csv(path, kind):
    good = write_csv(path).read_text().splitlines()
    if kind == "rating":
        good[3] = "u1,i1,great,5"
    elif kind == "empty line":
        good[3] = ""
    elif kind == "column":
        good[0] = "user,thing,rating,timestamp"
    elif kind == "no rows":
        good = good[:1]
    elif kind == "one user":
        good = [good[0], *[f"u0,i{n},3,{n}" for n in range(2)]]
    path.write_text("\n".join(good) + "\n")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rating", ["my.csv", "4", "rating", "great"]),
        ("empty line", ["my.csv", "4"]),
        ("column", ["my.csv", "item", "thing"]),
        ("no rows", ["my.csv"]),
        ("one user", ["data.ratio", "test part"]),
    ],
)
def test_a_bad_file_is_named_with_its_line(kind, expected, capsys, tmp_path):
    bad_csv(tmp_path / "my.csv", kind)
    line = refused(capsys, "lightgcn_amazon_book", "--data.path", "my.csv", "--data.split", "ratio", *QUICK)
    for word in expected:
        assert word in line


def test_a_truncated_gzip_is_named(capsys, tmp_path):
    whole = gzip.compress(write_csv(tmp_path / "plain.csv").read_bytes())
    (tmp_path / "my.csv.gz").write_bytes(whole[: len(whole) // 2])
    line = refused(capsys, "lightgcn_amazon_book", "--data.path", "my.csv.gz", "--data.split", "ratio")
    assert "my.csv.gz" in line


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path, capsys):
    plain = write_csv(tmp_path / "plain.csv").read_text()
    (tmp_path / "windows.csv").write_bytes(b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode())
    results = []
    for name in ("plain", "windows"):
        arguments = ["--data.path", f"{name}.csv", "--data.split", "ratio", "--workdir", name, "--eval.save-topk", "5"]
        assert start("popularity_amazon_book", *arguments, "--devices.count", "1") == 0
        results.append(json.loads((tmp_path / name / "result.json").read_text())["protocols"])
    assert results[0] == results[1]


@pytest.mark.parametrize("fault", ["rows", "nan", "missing"])
def test_text_features_that_do_not_fit_are_refused(fault, capsys, tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    users, items = np.zeros((1000, 4), np.float32), np.zeros((600, 4), np.float32)
    if fault == "rows":
        items = items[:-1]
    if fault == "nan":
        items[7, 2] = np.nan
    np.save(folder / "user.npy", users)
    if fault != "missing":
        np.save(folder / "item.npy", items)
    manifest = {"schema": 1, "model": "test", "dim": 4, "user": "user.npy", "item": "item.npy"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    line = refused(capsys, "lmmrec_steam", "--text.path", "text")
    assert "item.npy" in line
    assert {"rows": "599", "nan": "7", "missing": "item.npy"}[fault] in line


def test_a_model_that_needs_text_and_has_none_is_told_its_choices(capsys, tmp_path):
    write_csv(tmp_path / "my.csv")
    line = refused(capsys, "lmmrec_yelp_small", "--data.path", "my.csv", "--data.format", "csv")
    assert "--text.path" in line


def test_a_workdir_of_another_config_is_refused_naming_the_field(capsys, tmp_path):
    assert start("popularity_amazon_book", "--workdir", "run") == 0
    before = (tmp_path / "run" / "result.json").read_bytes()
    capsys.readouterr()
    line = refused(capsys, "popularity_amazon_book", "--workdir", "run", "--eval.save-topk", "7")
    assert "eval.save_topk" in line
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_a_workdir_that_is_a_file_is_refused(capsys, tmp_path):
    (tmp_path / "run").write_text("mine")
    assert "run" in refused(capsys, "popularity_amazon_book", "--workdir", "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_a_workdir_with_other_files_is_refused(capsys, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    assert "not a run folder" in refused(capsys, "popularity_amazon_book", "--workdir", "run")


def test_a_start_that_was_killed_while_recording_its_config_does_not_bar_the_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json.partial").write_text('{"sch')
    assert start("popularity_amazon_book", "--workdir", "run") == 0


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff\xfe"])
def test_a_damaged_record_of_the_config_is_one_line(content, capsys, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes(content)
    assert "config.json" in refused(capsys, "popularity_amazon_book", "--workdir", "run")


def test_a_full_disk_is_one_line(capsys, tmp_path, monkeypatch):
    def full(self, *_args, **_kwargs):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(pathlib.Path, "write_text", full)
    assert "No space left on device" in refused(capsys, "popularity_amazon_book", "--workdir", "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the full disk test covers the path")
def test_a_read_only_workdir_is_one_line(capsys, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "locked" in refused(capsys, "popularity_amazon_book", "--workdir", "locked/run")
