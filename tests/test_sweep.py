"""The search: planted optima, interruptions, budgets, and that no trial comes near the test part."""

import json
import math
import os
import pathlib
import signal
import types

import pytest
from rich.console import Console
from sqlalchemy import Engine, event

from jaxrec import launch, sweep
from jaxrec.command_line import run_command
from jaxrec.config import Experiment, as_text, from_json, load_config, to_json, validate
from jaxrec.errors import UserError
from jaxrec.eval.ranking import FullRanking
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.registry import CONFIGS
from jaxrec.run_folder import claim
from jaxrec.sweeping.display import SweepDisplay
from jaxrec.sweeping.search import search, short_names
from jaxrec.sweeping.space import Choice, Integers, LogUniform, Uniform, check_space, near_an_end, values_of
from jaxrec.sweeping.space_sources import default_space, space_from_file, space_from_flags
from jaxrec.sweeping.study import MIN_FOR_PRUNING, Study
from jaxrec.sweeping.trial import Outcome

CONFIGS_FOLDER = pathlib.Path(__file__).resolve().parents[1] / "configs"
BASE = Experiment(LightGCNConfig(dim=8, num_layers=2), name="tiny")
RATE, LAYERS = "train.optimizer.learning_rate", "model.num_layers"
SPACE = {RATE: LogUniform(1e-5, 1e-1), LAYERS: Choice(1, 2, 3, 4)}


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_the_disk():
    def hurry(connection, _record):
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hurry)
    yield
    event.remove(Engine, "connect", hurry)


class PlantedTrials:
    """The value is best, 0, at a learning rate of 1e-2 and 3 layers. Each trial reports it over five epochs."""

    def __init__(self, disturb=lambda number, experiment: None):
        self.ran, self.discarded, self._disturb = [], set(), disturb

    def prepare(self, experiment):
        validate(experiment)
        return types.SimpleNamespace(hash=as_text(experiment), experiment=experiment)

    def run(self, prepared, report):
        self.ran.append(prepared.experiment)
        self._disturb(len(self.ran), prepared.experiment)
        rate, layers = values_of(prepared.experiment, SPACE).values()
        value = -((math.log10(rate) + 2) ** 2) - abs(layers - 3)
        for epoch in range(1, 6):
            report(epoch, value - 1 / epoch)
        return Outcome(value - 0.2, 5, 5)

    def folder(self, run_hash):
        raise NotImplementedError

    def discard(self, run_hash):
        self.discarded.add(run_hash)


def plan(folder, total, trials=None, *, experiment=BASE, space=SPACE, seed=0, warmup=None):
    """Search with planted values; the study."""
    folder.mkdir(exist_ok=True)
    study = Study(folder, seed, warmup)
    display = SweepDisplay(Console(quiet=True), total, "ndcg@10")
    trials = trials or PlantedTrials()
    search(study, experiment, space, total, trials, display, lambda: None, lambda message: None)
    return study


def asked(study):
    return [trial.user_attrs["notes"]["values"] for trial in study.counted()]


def states(study):
    return [trial.state.name for trial in study.counted()]


def test_a_planted_optimum_is_found(tmp_path):
    best = plan(tmp_path / "s", 30).best()
    assert best.user_attrs["notes"]["values"][LAYERS] == 3
    assert 4e-3 < best.user_attrs["notes"]["values"][RATE] < 2.5e-2


def test_the_first_trial_is_the_config_as_it_stands_even_outside_the_space(tmp_path):
    space = {RATE: LogUniform(1e-5, 1e-4), LAYERS: Choice(1, 4)}
    study = plan(tmp_path / "s", 4, space=space)
    assert asked(study)[0] == values_of(BASE, space)
    assert all(values[LAYERS] in (1, 4) and values[RATE] <= 1e-4 for values in asked(study)[1:])
    assert study.best() == study.counted()[0]  # the space holds nothing better


def test_settings_follow_from_the_seed(tmp_path):
    first, second = asked(plan(tmp_path / "a", 12)), asked(plan(tmp_path / "b", 12))
    other = asked(plan(tmp_path / "c", 3, seed=1))
    assert first == second
    assert first[0] == other[0]
    assert not any(a == b for a, b in zip(first[1:], other[1:], strict=False))


@pytest.mark.parametrize("when", [1, 12])
def test_an_interrupted_search_asks_for_what_the_uninterrupted_one_asks_for(tmp_path, when):
    def interrupt(number, experiment):
        if number == when:
            raise KeyboardInterrupt  # nothing is tidied up: as after a kill

    with pytest.raises(KeyboardInterrupt):
        plan(tmp_path / "s", 12, PlantedTrials(interrupt))
    study = plan(tmp_path / "s", 12)
    whole = plan(tmp_path / "whole", 12)
    assert asked(study) == asked(whole)
    assert [trial.value for trial in study.counted()] == [trial.value for trial in whole.counted()]


def test_more_trials_go_on_from_those_that_are_there(tmp_path):
    plan(tmp_path / "s", 5)
    trials = PlantedTrials()
    study = plan(tmp_path / "s", 8, trials)
    assert len(trials.ran) == 3
    assert asked(study) == asked(plan(tmp_path / "whole", 8))
    trials = PlantedTrials()
    assert len(plan(tmp_path / "s", 6, trials).counted()) == 8
    assert not trials.ran


def test_settings_that_cannot_be_trained_count_as_failed_and_the_search_goes_on(tmp_path):
    def blow_up(number, experiment):
        if experiment.model.num_layers == 1:
            raise UserError("step 7: the loss is not finite")

    study = plan(tmp_path / "s", 12, PlantedTrials(blow_up))
    failed = [trial for trial in study.counted() if trial.state.name == "FAIL"]
    assert failed
    assert len(study.counted()) == 12
    assert all(trial.user_attrs["notes"]["reason"] == "step 7: the loss is not finite" for trial in failed)
    assert study.best().user_attrs["notes"]["values"][LAYERS] != 1


def test_a_full_disk_ends_the_search_and_the_trial_is_asked_for_again(tmp_path):
    def fill(number, experiment):
        if number == 3:
            raise UserError("the disk is full") from OSError(28, "No space left on device")

    with pytest.raises(UserError, match="the disk is full"):
        plan(tmp_path / "s", 6, PlantedTrials(fill))
    assert asked(plan(tmp_path / "s", 6)) == asked(plan(tmp_path / "whole", 6))


def test_what_falls_behind_is_cut_short_and_never_chosen(tmp_path):
    trials = PlantedTrials()
    study = plan(tmp_path / "s", 16, trials, warmup=3)
    assert set(states(study)) == {"COMPLETE", "PRUNED"}
    assert states(study)[:MIN_FOR_PRUNING] == ["COMPLETE"] * MIN_FOR_PRUNING
    cut = [trial for trial in study.counted() if trial.state.name == "PRUNED"]
    assert all(trial.last_step == trial.user_attrs["notes"]["epochs"] == 3 for trial in cut)
    best = study.best()
    assert best.state.name == "COMPLETE"
    assert best.value >= study.counted()[0].value
    assert trials.discarded >= {trial.user_attrs["notes"]["run"] for trial in cut}
    assert "PRUNED" not in states(plan(tmp_path / "all", 8))


def test_settings_are_not_trained_twice(tmp_path):
    trials = PlantedTrials()
    study = plan(tmp_path / "s", 9, trials, space={LAYERS: Choice(1, 2, 3)})
    assert len(trials.ran) == len({experiment.model.num_layers for experiment in trials.ran}) == 3
    assert len(study.counted()) == 9
    assert {trial.value for trial in study.counted()} == {trial.value for trial in study.counted()[:5]}


def test_what_matters_is_told(tmp_path):
    space = {LAYERS: Integers(1, 4), "model.regularization": LogUniform(1e-6, 1e-2), RATE: LogUniform(1e-5, 1e-1)}
    study = plan(tmp_path / "s", 16, space=space)
    shares = study.importance(space)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["model.regularization"] == min(shares.values())
    assert plan(tmp_path / "few", 4, space=space).importance(space) == {}


@pytest.mark.parametrize("folder", ["a {x} 50%", "why? #1"])
def test_any_folder_will_do(tmp_path, folder):
    plan(tmp_path / folder, 2)
    assert (tmp_path / folder / "study.sqlite3").is_file()
    assert len(plan(tmp_path / folder, 3).counted()) == 3


def test_a_damaged_study_is_one_line(tmp_path):
    (tmp_path / "study.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match=r"study\.sqlite3.*not a database"):
        plan(tmp_path, 2)


@pytest.mark.parametrize("name", [name for name, config in CONFIGS.items() if config.trains])
def test_every_model_that_trains_has_a_default_space(name):
    experiment = Experiment(CONFIGS[name]())
    space = check_space(default_space(experiment), experiment)
    assert RATE in space


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({}, "no field"),
        ({"model.num_layer": Choice(1, 2)}, "model.num_layers"),
        ({"learning_rate": LogUniform(1e-4, 1e-2)}, RATE),
        ({RATE: LogUniform(0.0, 1.0)}, "above 0"),
        ({RATE: LogUniform(1e-2, 1e-4)}, "a low below the high"),
        ({RATE: LogUniform(1e-4, math.inf)}, "numbers"),
        ({RATE: Integers(1, 2)}, "a number"),
        ({LAYERS: Uniform(1, 2)}, "a whole number"),
        ({LAYERS: Integers(0, 2)}, "model.num_layers: found 0"),
        ({LAYERS: Integers(1, 2.5)}, "2.5"),
        ({LAYERS: Choice(1, "two")}, "a whole number"),
        ({LAYERS: Choice(1)}, "two or more"),
        ({LAYERS: Choice(1, 1)}, "all different"),
        ({LAYERS: (1, 2)}, "Choice"),
        ({"model.edge_dropout": Uniform(0, 1)}, "from 0 to below 1"),
        ({"model.combine": Choice("mean", "sum", "min")}, "one of"),
        ({"data.split_seed": Integers(0, 9)}, "data.split_seed"),
        ({"eval.save_topk": Integers(5, 9)}, "eval.save_topk"),
        ({"seed": Integers(0, 9)}, "luck"),
        ({"train.epochs": Integers(1, 9)}, "budget"),
        ({"train.log_every": Integers(1, 9)}, "does not depend"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space, expected):
    with pytest.raises(UserError) as refusal:
        check_space(space, BASE)
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_flags_are_read_as_the_fields_would_read_them():
    texts = [
        "train.optimizer.learning-rate=log:3e-4:3e-3", "model.num-layers=1,2,3", "model.edge-dropout=uniform:0:0.5",
        "model.dim=integers:8:64", "model.combine=mean,sum", "train.optimizer.clip-norm=None,1",
    ]  # fmt: skip
    space = check_space(space_from_flags(texts, BASE), BASE)
    assert space == {
        RATE: LogUniform(3e-4, 3e-3),
        LAYERS: Choice(1, 2, 3),
        "model.edge_dropout": Uniform(0.0, 0.5),
        "model.dim": Integers(8, 64),
        "model.combine": Choice("mean", "sum"),
        "train.optimizer.clip_norm": Choice(None, 1.0),
    }


@pytest.mark.parametrize(
    "text", ["model.dim", "model.dim=", "model.dim=log:1", "model.dim=log:a:b", "model.dim=lgo:1:2", "model.dim=8,wide"]
)
def test_a_flag_that_cannot_be_read_is_named(text):
    with pytest.raises(UserError, match=f"--search {text}"):
        space_from_flags([text], BASE)


def test_a_space_from_a_file(tmp_path):
    file = tmp_path / "space.py"
    file.write_text(
        "from jaxrec.sweeping.space import Choice\n\ndef get_space():\n    return {'model.num_layers': Choice(1, 2)}\n"
    )
    assert space_from_file(file) == {LAYERS: Choice(1, 2)}
    for source, expected in (("def get_space():\n    return 1 / 0\n", "space.py:2"), ("x = 1\n", "get_space")):
        file.write_text(source)
        with pytest.raises(UserError, match=expected):
            space_from_file(file)


def test_a_choice_at_the_end_of_its_range_is_pointed_out():
    assert near_an_end(LogUniform(1e-4, 1e-2), 9e-3) == "high"
    assert near_an_end(LogUniform(1e-4, 1e-2), 5e-4) is None
    assert near_an_end(Uniform(0.0, 1.0), 0.01) == "low"
    assert near_an_end(Integers(1, 4), 4) == "high"
    assert near_an_end(LogUniform(1e-4, 1e-2), 1.0) is None  # the config's own, outside the space
    assert near_an_end(Choice(1, 2), 2) is None


def test_short_names_tell_fields_apart():
    names = ["model.coordination.weight", "model.correspondence.weight", "model.dim"]
    assert list(short_names(names).values()) == ["coordination.weight", "correspondence.weight", "dim"]


# The command, on the sample.

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
