"""The search: trials one after another until there are as many as were asked for, whatever was stopped between."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
from optuna.trial import FrozenTrial, Trial, TrialState

from jaxrec.config import Experiment
from jaxrec.errors import UserError
from jaxrec.sweeping.display import SweepDisplay
from jaxrec.sweeping.space import Space, Value, contains, values_of, with_values
from jaxrec.sweeping.study import Study, StudyError, as_it_stands, notes_of
from jaxrec.sweeping.trial import Outcome, PrunedError, Trials


def search(
    study: Study,
    experiment: Experiment[Any],
    space: Space,
    total: int,
    trials: Trials,
    display: SweepDisplay,
    record: Callable[[], object],
    notice: Callable[[str], None],
) -> None:
    """Run trials until `total` have ended; the first is the experiment as it stands. record: called after each.

    A trial whose settings cannot be trained (its loss is not finite, two of its values do not go together) counts as
    failed with the reason. What is not the settings' fault, such as a full disk, ends the search as a UserError; then
    and after a signal the trial under way is asked for again by the next call.
    """
    start = values_of(experiment, space)
    study.enqueue_start(start)
    interrupted = study.release_interrupted()
    if interrupted:
        notice(f"{interrupted} interrupted trial{'s' if interrupted > 1 else ''} will go on")
    outside = [f"{name} {value}" for name, value in start.items() if not contains(space[name], value)]
    if outside and not study.counted():
        notice(f"the config's own {', '.join(outside)} lies outside the space; the first trial keeps it")
    with display:
        while (done := len(study.counted())) < total:
            trial, values = study.ask(space, start)
            stands = " (the config as it stands)" if as_it_stands(trial) else ""
            display.start(done, shown(values) + stands, _best(study))
            _run(study, trial, values, with_values(experiment, values), trials, display)
            _keep_the_best(study, trials)
            record()
            jax.clear_caches()  # each trial compiled its own; none is used again


def shown(values: dict[str, Value]) -> str:
    """Settings in a few words, by the shortest names that tell them apart."""
    names = short_names(list(values))
    return ", ".join(f"{names[name]} {shown_value(value)}" for name, value in values.items())


def shown_value(value: Value) -> str:
    """A value in at most four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def short_names(names: list[str]) -> dict[str, str]:
    """The fewest last parts of each dotted name that no other one shares."""
    short = {}
    for name in names:
        parts = name.split(".")
        endings = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        short[name] = next(
            ending for ending in endings if sum(f".{other}".endswith(f".{ending}") for other in names) == 1
        )
    return short


def _run(
    study: Study,
    trial: Trial,
    values: dict[str, Value],
    experiment: Experiment[Any],
    trials: Trials,
    display: SweepDisplay,
) -> None:
    notes: dict[str, Any] = {"values": values}
    reached = 0

    def report(epoch: int, value: float) -> None:
        nonlocal reached
        reached = epoch
        if study.report(trial, epoch, value):
            raise PrunedError

    started = time.monotonic()
    try:
        prepared = trials.prepare(experiment)
        notes["run"] = prepared.hash
        twin = next((other for other in study.counted() if notes_of(other).get("run") == prepared.hash), None)
        if twin is not None:
            _repeat(study, trial, twin, notes, display)
            return
        outcome = trials.run(prepared, report)
    except PrunedError:
        notes |= {"epochs": reached, "seconds": round(time.monotonic() - started, 1)}
        study.finish(trial, None, TrialState.PRUNED, notes)
        display.end(f"cut short after epoch {reached}: below the median of the others")
    except (UserError, jax.errors.JaxRuntimeError) as error:
        _require_of_settings(error)
        reason = " ".join(str(error).split())
        notes |= {"reason": reason, "seconds": round(time.monotonic() - started, 1)}
        study.finish(trial, None, TrialState.FAIL, notes)
        display.end(f"failed: {reason}", counts=False)
    else:
        notes |= outcome._asdict() | {"seconds": round(time.monotonic() - started, 1)}
        study.finish(trial, outcome.value, TrialState.COMPLETE, notes)
        display.end(_ended(outcome, study))


def _repeat(study: Study, trial: Trial, twin: FrozenTrial, notes: dict[str, Any], display: SweepDisplay) -> None:
    """Settings that were tried already give what they gave."""
    same = study.counted().index(twin) + 1
    found = notes_of(twin)
    carried = {name: found[name] for name in ("reason", *Outcome._fields) if name in found}
    for epoch, value in twin.intermediate_values.items():
        study.report(trial, epoch, value)
    study.finish(trial, twin.value, twin.state, carried | notes | {"seconds": 0.0, "same_as": same})
    display.end(f"the settings of trial {same}, so not trained again", counts=False)


def _require_of_settings(error: Exception) -> None:
    """Pass on what other settings would not mend: a disk that is full, devices that fail."""
    out_of_memory = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    refused = isinstance(error, UserError) and not isinstance(error, StudyError)
    refused = refused and not isinstance(error.__cause__, OSError)
    if not out_of_memory and not refused:
        raise error


def _keep_the_best(study: Study, trials: Trials) -> None:
    best = study.best()
    chosen = notes_of(best)["run"] if best is not None else None
    for trial in study.counted():
        run = notes_of(trial).get("run")
        if run is not None and run != chosen:
            trials.discard(run)


def _best(study: Study) -> str:
    best = study.best()
    return "none yet" if best is None else f"{best.value:.4f} of trial {study.counted().index(best) + 1}"


def _ended(outcome: Outcome, study: Study) -> str:
    when = f" at epoch {outcome.best_epoch} of {outcome.epochs}" if outcome.epochs else ""
    return f"{outcome.value:.4f}{when}; best {_best(study)}"
