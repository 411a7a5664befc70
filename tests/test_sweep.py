"""The sweep command on the sample: no trial comes near the test part, interruptions, what is refused."""

import json
import os
import pathlib
import signal

import pytest

from jaxrec import launch, sweep
from jaxrec.command_line import run_command
from jaxrec.config import from_json, load_config, to_json
from jaxrec.eval.ranking import FullRanking
from jaxrec.run_folder import claim
from jaxrec.sweeping.study import Study

CONFIGS_FOLDER = pathlib.Path(__file__).resolve().parents[1] / "configs"
RATE = "train.optimizer.learning_rate"
QUICK = ["--train.epochs", "2", "--train.eval-every", "1", "--train.batch-size", "4096", "--devices.count", "1"]
SEARCH = ["--search", "train.optimizer.learning-rate=log:1e-3:3e-2"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def start(tmp_path, monkeypatch, cache):
    """Run the command in a folder of its own; the exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXREC_CACHE", str(cache))
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    monkeypatch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
    monkeypatch.setattr("jax.clear_caches", lambda: None)  # other tests use what was compiled
    config = str(CONFIGS_FOLDER / "bprmf_amazon_book.py")

    def run(*arguments, config=config):
        return run_command(sweep.main, [config, *arguments, *QUICK])

    return run


def allow_validation_only(monkeypatch):
    """Ranking anything but the validation part, or holding a test part, fails."""
    whole = FullRanking.__init__

    def only_valid(self, dataset, part, *arguments, **named):
        assert part == "valid"
        assert len(dataset.test) == 0
        whole(self, dataset, part, *arguments, **named)

    monkeypatch.setattr(FullRanking, "__init__", only_valid)


def read(folder):
    return json.loads((folder / "sweep.json").read_text())


def refused(capsys, start, *arguments, **named):
    """The one line that a user's mistake gets."""
    capsys.readouterr()
    assert start(*arguments, **named) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxrec: error:")]
    assert len(lines) == 1
    return lines[0]


def test_a_sweep_reads_no_test_part_and_its_choice_runs_as_it_was_measured(start, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        allow_validation_only(patch)
        assert start(*SEARCH, "--trials", "2", "--workdir", "s") == 0
    captured = capsys.readouterr()
    assert "trial 2 of 2" in captured.err
    assert "python -m jaxrec.launch --config s/best.json" in captured.out
    summary = read(tmp_path / "s")
    assert summary["status"] == "done"
    assert summary["budget"] | {"trials": 2, "epochs": 2, "seed": 0, "sampler_seed": 0} == summary["budget"]
    assert [trial["state"] for trial in summary["trials"]] == ["done"] * 2
    best = summary["best"]
    assert best["value"] == max(trial["value"] for trial in summary["trials"])
    assert {path.name for path in (tmp_path / "s").iterdir()} >= {"sweep.md", "best.json", "study.sqlite3", "sweep.png"}
    kept = [path.parent.name for path in (tmp_path / "s" / "trials").glob("*/checkpoints")]
    assert kept == [best["run"]]

    chosen = load_config(tmp_path / "s" / "best.json")
    assert chosen.name == "bprmf_amazon_book"
    assert chosen.train.optimizer.learning_rate == best["values"][RATE]
    assert from_json(to_json(chosen)) == chosen
    # Trained anew it comes to what was measured; --final finds it trained.
    assert run_command(launch.main, ["--config", "s/best.json", "--workdir", "anew"]) == 0
    assert start(*SEARCH, "--trials", "2", "--workdir", "s", "--final") == 0
    assert "resumed from the checkpoint" in capsys.readouterr().err
    for folder in (tmp_path / "anew", tmp_path / "s" / "trials" / best["run"]):
        result = json.loads((folder / "result.json").read_text())
        assert result["protocols"]["full"]["valid"][summary["monitor"]] == best["value"]


def test_an_interrupted_sweep_goes_on_where_it_was(start, tmp_path, capsys, monkeypatch):
    assert start(*SEARCH, "--trials", "2", "--workdir", "whole") == 0
    report = Study.report

    def interrupt(self, trial, epoch, value):
        if (trial.number, epoch) == (1, 1):
            os.kill(os.getpid(), signal.SIGINT)
        return report(self, trial, epoch, value)

    with monkeypatch.context() as patch:
        patch.setattr(Study, "report", interrupt)
        with pytest.raises(SystemExit) as stopped:
            start(*SEARCH, "--trials", "2", "--workdir", "s")
    assert stopped.value.code == 130
    assert read(tmp_path / "s")["status"] == "unfinished"
    capsys.readouterr()
    assert start(*SEARCH, "--trials", "2", "--workdir", "s") == 0
    assert "resumed from the checkpoint" in capsys.readouterr().err
    here, there = read(tmp_path / "s")["trials"], read(tmp_path / "whole")["trials"]
    assert [trial | {"seconds": 0} for trial in here] == [trial | {"seconds": 0} for trial in there]


def test_rows_of_a_table_get_one_budget(start, tmp_path, capsys):
    other = ["--config", str(CONFIGS_FOLDER / "lightgcn_amazon_book.py")]
    assert start(*SEARCH, "--trials", "1", *other) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "amazon_book  " in line]
    assert [row.split()[0] for row in rows] == ["bprmf_amazon_book", "lightgcn_amazon_book"]
    first, second = (read(folder) for folder in sorted((tmp_path / "sweeps").iterdir()))
    assert first["budget"] == second["budget"]
    # One that was searched further alone is no row of the same table until the other is, too.
    assert start(*SEARCH, "--trials", "2") == 0
    assert "budgets differ" not in capsys.readouterr().out
    assert start(*SEARCH, "--trials", "1", *other) == 0
    assert "the budgets differ, as bprmf_amazon_book was searched before: --trials 2 makes" in capsys.readouterr().out


def test_settings_that_blow_up_are_told_in_the_table(start, tmp_path, capsys):
    search = ["--search", "train.optimizer.learning-rate=1e30,2e30"]
    assert start(*search, "--trials", "2", "--workdir", "s") == 0
    summary = read(tmp_path / "s")
    failed = [trial for trial in summary["trials"] if trial["state"] == "failed"]
    assert [trial["trial"] for trial in failed] == [2]
    assert all("not finite" in trial["reason"] for trial in failed)
    assert "not finite" in (tmp_path / "s" / "sweep.md").read_text()


def test_a_folder_of_another_sweep_or_in_use_is_refused(start, tmp_path, capsys):
    search = ["--search", "train.optimizer.learning-rate=1e-2,2e-2"]
    assert start(*search, "--trials", "1", "--workdir", "s") == 0
    before = (tmp_path / "s" / "sweep.json").read_bytes()
    assert RATE in refused(capsys, start, *SEARCH, "--trials", "1", "--workdir", "s")
    assert "sampler_seed" in refused(capsys, start, *search, "--sampler-seed", "1", "--trials", "1", "--workdir", "s")
    assert "model.dim" in refused(capsys, start, *search, "--trials", "1", "--workdir", "s", "--model.dim", "16")
    record = json.loads((tmp_path / "s" / "config.json").read_text())
    with claim(tmp_path / "s", from_json(record["experiment"]), record["hash"]):
        assert "another process" in refused(capsys, start, *search, "--trials", "1", "--workdir", "s")
    assert (tmp_path / "s" / "sweep.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--trials N is missing"),
        (["--trials", "0"], "--trials"),
        (["--trials", "ten"], "--trials"),
        (["--trials"], "--trials: no value"),
        (["--trials", "2", "--trial", "3"], "--trials"),
        (["--trials", "2", "--trials", "3"], "given twice"),
        (["--trials", "2", "--finale"], "--final"),
        (["--trials", "2", "--model.dmi", "3"], "--model.dim"),
        (["--trials", "2", "--search", "model.dmi=1,2"], "model.dim"),
        (["--trials", "2", "--search", "model.dim=8,16", "--space", "a.py"], "one of them"),
        (["--trials", "2", "--space", "absent.py"], "absent.py"),
        (["--trials", "2", "--config", str(CONFIGS_FOLDER / "lmmrec_steam.py")], "--train.monitor"),
        (["--trials", "2", "--config", str(CONFIGS_FOLDER / "bprmf_amazon_book.py")], "given twice"),
        (["--trials", "2", "--seed", "-1"], "seed"),
    ],
)
def test_a_mistake_in_the_flags_is_one_line(arguments, expected, start, capsys, tmp_path):
    assert expected in refused(capsys, start, *arguments)
    assert not (tmp_path / "sweeps").exists()


def test_a_model_with_nothing_to_train_asks_for_a_space(start, capsys):
    line = refused(capsys, start, "--trials", "2", config=str(CONFIGS_FOLDER / "popularity_amazon_book.py"))
    assert "--search" in line


def test_without_optuna_the_extra_is_named(start, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "jaxrec[sweep]" in refused(capsys, start, "--trials", "2")


def test_help_says_what_is_searched(start, capsys):
    with pytest.raises(SystemExit) as left:
        start("--help")
    assert left.value.code == 0
    assert "model.coordination.weight=log:0.0001:0.1" in capsys.readouterr().out
