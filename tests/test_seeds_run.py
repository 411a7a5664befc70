"""`--seeds N` from end to end: each seed's folder, the result over seeds, and what bad input gets."""

import json
import pathlib

import numpy as np
import pytest

from jaxrec import launch, recommend
from jaxrec.command_line import run_command
from jaxrec.multi_seed.summary import over_seeds, summarize

CONFIG = pathlib.Path(__file__).resolve().parents[1] / "configs" / "bprmf_amazon_book.py"


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    monkeypatch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)


def start(*arguments):
    rng = np.random.default_rng(0)
    pairs = sorted({(int(u), int(i)) for u, i in rng.integers(0, (25, 40), (500, 2))})
    rows = [f"u{u},i{i},{1 + (u + i) % 5},{1000 + n}" for n, (u, i) in enumerate(pairs)]
    pathlib.Path("my.csv").write_text("\n".join(["user,item,rating,timestamp", *rows]))
    data = ["--data.path", "my.csv", "--data.split", "ratio", "--model.dim", "8", "--devices.count", "1"]
    quick = ["--train.epochs", "2", "--train.eval-every", "1", "--eval.k", "5", "10"]
    return run_command(launch.main, ["--config", str(CONFIG), *data, *quick, *arguments])


def read(path):
    return json.loads(pathlib.Path(path).read_text())


def test_a_run_of_two_seeds(capsys):
    arguments = ["--workdir", "run", "--seed", "5", "--seeds", "2", "--train.monitor", "ndcg@10"]
    assert start(*arguments) == 0
    shown = capsys.readouterr().out
    assert "means of 2 seeds" in shown
    assert "95 % interval" in shown
    result, first, second = read("run/result.json"), read("run/seed-5/result.json"), read("run/seed-6/result.json")
    assert result["seeds"] == [5, 6]
    assert [run["folder"] for run in result["runs"]] == ["seed-5", "seed-6"]
    values = [one["protocols"]["full"]["test"]["ndcg@10"] for one in (first, second)]
    assert values[0] != values[1]
    record = result["protocols"]["full"]
    assert record["test"]["ndcg@10"] == pytest.approx(np.mean(values))
    assert record["over_seeds"]["test"]["ndcg@10"]["values"] == values
    assert record["reference"] == first["protocols"]["full"]["reference"]
    assert result["dataset"] == first["dataset"]
    # The same again prints what is there.
    assert start(*arguments) == 0
    assert capsys.readouterr().out == shown
    # A seed's folder is a run like any other: it is that of `--seed 5`, and it recommends.
    assert start("--workdir", "run/seed-5", "--seed", "5", "--train.monitor", "ndcg@10") == 0
    assert run_command(recommend.main, ["--run", "run/seed-6", "--user", first["example_user"], "-k", "3"]) == 0
    capsys.readouterr()
    assert run_command(recommend.main, ["--run", "run", "--user", first["example_user"]]) == 2
    assert "holds the runs of 2 seeds, allowed: one of them, such as run/seed-5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seeds", "0"], "seeds: found 0"),
        (["--seeds", "2", "--seed", "4294967295"], "seeds: found 2"),
        (["--seeds", "2", "--profile", "1:2"], "--profile"),
        (["--seeds", "2", "--train.input", "blocks"], "allowed: 1, or train.input device"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, expected, capsys):
    assert start(*arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxrec: error:")]
    assert len(lines) == 1
    assert expected in lines[0]


def test_deviation_and_interval_are_those_of_students_t():
    found = over_seeds([1.0, 2.0, 3.0, 4.0])
    assert found["mean"] == 2.5
    assert found["deviation"] == pytest.approx(1.2909944)
    # t of 3 degrees of freedom at 97.5 %: 3.182446; 3.182446 * 1.2909944 / 2
    assert found["interval"] == pytest.approx((2.5 - 2.0542600, 2.5 + 2.0542600), abs=1e-5)


def test_a_summary_keeps_what_all_seeds_share():
    def result(seed, value):
        record = {
            "k": [10],
            "valid": {"ndcg@10": value},
            "test": {"ndcg@10": value / 2},
            "paired": {"p_value": value},
            "slices": {"in_pool": {"num_users": 7, "test": {"ndcg@10": value}}},
        }
        return {
            "name": "x",
            "main": "full",
            "monitor": "ndcg@10",
            "seed": seed,
            "config_hash": str(seed),
            "protocols": {"full": record},
            "steps": 10 * seed,
            "best_step": seed,
            "seconds": {"train": 2.0},
            "examples_per_second": 100.0,
        }

    summary = summarize("hash", [result(1, 0.2), result(2, 0.4)], ["seed-1", "seed-2"])
    record = summary["protocols"]["full"]
    assert record["k"] == [10]
    assert record["valid"]["ndcg@10"] == pytest.approx(0.3)
    assert record["test"]["ndcg@10"] == pytest.approx(0.15)
    assert record["slices"] == {"in_pool": {"num_users": 7, "test": {}}}
    assert record["paired"] == {}
    assert (summary["seed"], summary["seeds"], summary["config_hash"], summary["name"]) == (1, [1, 2], "hash", "x")
    assert summary["runs"][1] == {
        "seed": 2, "folder": "seed-2", "config_hash": "2", "steps": 20, "best_step": 2, "valid": 0.4, "test": 0.2
    }  # fmt: skip
    assert summary["seconds"] == {"train": 4.0}
    assert summary["examples_per_second"] == 100.0
