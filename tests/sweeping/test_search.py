"""The search on planted values: what is found, what an interruption costs, what is cut short and what fails."""

import math
import types

import pytest
from rich.console import Console
from sqlalchemy import Engine, event

from jaxrec.config import Experiment, as_text, validate
from jaxrec.errors import UserError
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.sweeping.display import SweepDisplay
from jaxrec.sweeping.search import search
from jaxrec.sweeping.space import Choice, Integers, LogUniform, values_of
from jaxrec.sweeping.study import MIN_FOR_PRUNING, Study
from jaxrec.sweeping.trial import Outcome

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
