"""The study on disk: which trials there were, which settings come next, and which are cut short. Optuna on SQLite.

Every trial's settings follow from the sampler's seed, how many trials came before it and what they found; so a sweep
that was stopped and started again asks for what the uninterrupted one would have asked for.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from jaxrec.errors import UserError
from jaxrec.sweeping.space import Choice, Domain, Integers, LogUniform, Space, Value, contains

STARTUP_TRIALS = 10
"""Trials at random before the sampler learns from what they found."""
MIN_FOR_PRUNING = 5
"""Trials that run to their end before any is cut short."""
_MIN_FOR_IMPORTANCE = 8
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_NOTES = "notes"
_STANDS = "as_it_stands"
_AGAIN = "again"  # of a trial that repeats one a kill interrupted: that one's number


def notes_of(trial: FrozenTrial) -> dict[str, Any]:
    """What was noted when a trial ended."""
    return trial.user_attrs[_NOTES]


def as_it_stands(trial: Trial | FrozenTrial) -> bool:
    """Whether a trial is the experiment as it stands."""
    return _STANDS in trial.user_attrs


class StudyError(UserError):
    """The study on disk cannot be read or written: nothing that other settings would mend."""


class Study:
    """Trials of one sweep folder. Only one process at a time may use it; the folder's lock sees to that."""

    def __init__(self, folder: pathlib.Path, seed: int, warmup_epochs: int | None) -> None:
        """warmup_epochs: what every trial may train before it can be cut short; None: none ever is."""
        self.path = folder / "study.sqlite3"
        self._seed = seed
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruner = (
            optuna.pruners.NopPruner()
            if warmup_epochs is None
            else optuna.pruners.MedianPruner(n_startup_trials=MIN_FOR_PRUNING, n_warmup_steps=warmup_epochs)
        )
        # Optuna fills {SCHEMA_VERSION} into an address.
        address = URL.create("sqlite", database=str(self.path.absolute())).render_as_string()
        with self._readable():
            self._study = optuna.create_study(
                storage=optuna.storages.RDBStorage(address.replace("{", "{{").replace("}", "}}")),
                study_name="sweep",
                direction="maximize",
                load_if_exists=True,
                pruner=pruner,
            )

    def counted(self) -> list[FrozenTrial]:
        """Trials that ended, in order; those that a kill interrupted were asked for again and do not count."""
        with self._readable():
            trials = self._study.get_trials(deepcopy=False)
        repeated = {trial.user_attrs.get(_AGAIN) for trial in trials}
        return [trial for trial in trials if trial.state in _FINISHED and trial.number not in repeated]

    def release_interrupted(self) -> int:
        """Ask again for the settings of trials that never ended; how many there were."""
        with self._readable():
            trials = self._study.get_trials(deepcopy=False)
            repeated = {trial.user_attrs.get(_AGAIN) for trial in trials}
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            for trial in running:
                if trial.number not in repeated:  # else a kill fell between these two steps
                    attributes = {_STANDS: True} if as_it_stands(trial) else {}
                    self._study.enqueue_trial(trial.params, user_attrs=attributes | {_AGAIN: trial.number})
                self._study.tell(trial.number, state=TrialState.FAIL)
        return len(running)

    def enqueue_start(self, values: dict[str, Value]) -> None:
        """Let the first trial be the experiment as it stands, where there is none yet."""
        with self._readable():
            if not self._study.get_trials(deepcopy=False):
                self._study.enqueue_trial(values, user_attrs={_STANDS: True})

    def ask(self, space: Space, start: dict[str, Value]) -> tuple[Trial, dict[str, Value]]:
        """The next trial and its values. start: the experiment's own, which the first trial keeps even where they
        lie outside the space."""
        ordinal = len(self.counted())
        state = np.random.SeedSequence((self._seed, ordinal)).generate_state(1)
        with self._readable():
            self._study.sampler = optuna.samplers.TPESampler(
                seed=int(state[0]), n_startup_trials=STARTUP_TRIALS, multivariate=False, constant_liar=False
            )
            trial = self._study.ask()
            kept = {}
            if as_it_stands(trial):
                kept = {name: value for name, value in start.items() if not contains(space[name], value)}
            values = {name: kept[name] if name in kept else _suggest(trial, name, space[name]) for name in space}
        return trial, values

    def report(self, trial: Trial, epoch: int, value: float) -> bool:
        """Record a validation of a trial under way; whether it should be cut short."""
        with self._readable():
            trial.report(value, epoch)
            return trial.should_prune()

    def finish(self, trial: Trial, value: float | None, state: TrialState, notes: dict[str, Any]) -> None:
        """Record how a trial ended; notes: JSON to keep with it."""
        with self._readable():
            trial.set_user_attr(_NOTES, notes)
            self._study.tell(trial, value, state=state)

    def best(self) -> FrozenTrial | None:
        """The trial with the highest value among those that ran to their end, the first of equals."""
        return max(
            (trial for trial in self.counted() if trial.state == TrialState.COMPLETE),
            key=lambda trial: (trial.value, -trial.number),
            default=None,
        )

    def importance(self, space: Space) -> dict[str, float]:
        """Share of each field in the variance of the values (fANOVA), largest first; {} where trials are few."""
        whole = [
            trial for trial in self.counted() if trial.state == TrialState.COMPLETE and set(space) <= set(trial.params)
        ]
        varied = [name for name in space if len({trial.params[name] for trial in whole}) > 1]
        if len(whole) < _MIN_FOR_IMPORTANCE or len({trial.value for trial in whole}) < 2 or not varied:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        with self._readable():
            shares = optuna.importance.get_param_importances(self._study, evaluator=evaluator, params=varied)
        return {name: float(share) for name, share in shares.items()}

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise StudyError(f"{self.path}: cannot be used as the study of a sweep: {reason}") from error


def _suggest(trial: Trial, name: str, domain: Domain) -> Value:
    if isinstance(domain, Choice):
        return trial.suggest_categorical(name, domain.values)
    if isinstance(domain, Integers):
        return trial.suggest_int(name, domain.low, domain.high)
    return trial.suggest_float(name, domain.low, domain.high, log=isinstance(domain, LogUniform))
