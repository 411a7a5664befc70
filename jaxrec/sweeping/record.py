"""What a sweep leaves behind: sweep.json, sweep.md, best.json, and a picture where matplotlib is there."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from jaxrec.config import Experiment, to_json
from jaxrec.errors import UserError
from jaxrec.run_folder import SCHEMA, read_json, versions, write_json
from jaxrec.sweeping.search import short_names, shown_value
from jaxrec.sweeping.space import Space, describe, near_an_end, space_json, with_values
from jaxrec.sweeping.study import MIN_FOR_PRUNING, STARTUP_TRIALS, Study, as_it_stands, notes_of

_STATES = {TrialState.COMPLETE: "done", TrialState.PRUNED: "cut short", TrialState.FAIL: "failed"}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a sweep was asked for. data: name, source and sha256; warmup_epochs: None where nothing is cut short."""

    experiment: Experiment[Any]
    hash: str
    data: dict[str, Any]
    space: Space
    trials: int
    seed: int
    warmup_epochs: int | None

    def budget(self) -> dict[str, Any]:
        """What the search may spend: to be the same for every row of a table."""
        train = self.experiment.train
        return {
            "trials": self.trials,
            "epochs": train.epochs,
            "eval_every": train.eval_every,
            "patience": train.patience,
            "seed": self.experiment.seed,
            "sampler": "tpe",
            "sampler_seed": self.seed,
            "startup_trials": STARTUP_TRIALS,
            "pruner": "none" if self.warmup_epochs is None else "median",
            "pruner_warmup_epochs": self.warmup_epochs,
        }


def summarise(sweep: Sweep, study: Study) -> dict[str, Any]:
    """The content of sweep.json, trials in the order in which they were tried."""
    counted = study.counted()
    best = study.best()
    trials = [_trial_json(ordinal, trial) for ordinal, trial in enumerate(counted, start=1)]
    return {
        "schema": SCHEMA,
        "status": "done" if len(counted) >= sweep.trials else "unfinished",
        "name": sweep.experiment.name,
        "model": sweep.experiment.model.name,
        "hash": sweep.hash,
        "dataset": sweep.data,
        "part": "valid",
        "monitor": sweep.experiment.train.monitor,
        "budget": sweep.budget(),
        "space": space_json(sweep.space),
        "best": None if best is None else trials[counted.index(best)],
        "trials": trials,
        "importance": study.importance(sweep.space) if len(counted) >= sweep.trials else {},
        "versions": versions(),
    }


def write_record(folder: pathlib.Path, sweep: Sweep, study: Study) -> dict[str, Any]:
    """Write sweep.json and sweep.md, and best.json where a trial ran to its end; the content of sweep.json."""
    summary = summarise(sweep, study)
    write_json(folder / "sweep.json", summary)
    (folder / "sweep.md").write_text(as_markdown(summary, sweep.space))
    best = summary["best"]
    if best is not None:
        chosen = to_json(with_values(sweep.experiment, best["values"]))
        record = {"schema": SCHEMA, "name": sweep.experiment.name, "hash": best["run"], "experiment": chosen}
        write_json(folder / "best.json", record)
    return summary


def check_request(folder: pathlib.Path, request: dict[str, Any]) -> None:
    """Raise UserError where the folder holds a sweep that searches something else, naming the first difference."""
    path = folder / "request.json"
    if not path.is_file():
        return
    recorded = read_json(path)
    here, there = _flat(recorded), _flat(request)
    for name in [*here, *(name for name in there if name not in here)]:
        if here.get(name) != there.get(name):
            raise UserError(
                f"{folder}: holds a sweep of another request: {name}: {here.get(name, 'absent')} here, "
                f"{there.get(name, 'absent')} there; choose another --workdir"
            )


def _flat(request: dict[str, Any]) -> dict[str, Any]:
    spaces = {f"search {name}": domain for name, domain in request.get("space", {}).items()}
    return spaces | {name: value for name, value in request.items() if name != "space"}


def ranked(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Trials best first, then those cut short by what they had reached, then those that failed."""
    order = {"done": 0, "cut short": 1, "failed": 2}
    return sorted(summary["trials"], key=lambda trial: (order[trial["state"]], -(trial["value"] or 0.0)))


def cells(summary: dict[str, Any], trials: list[dict[str, Any]]) -> list[list[str]]:
    """Header and one row for each of these trials."""
    names = short_names(list(summary["space"]))
    rows = [["trial", f"valid {summary['monitor']}", *names.values(), "epoch", "seconds", "state"]]
    for trial in trials:
        value = "-" if trial["value"] is None else f"{trial['value']:.4f}"
        epoch = "-" if trial["best_epoch"] is None else f"{trial['best_epoch']} of {trial['epochs']}"
        settings = [shown_value(trial["values"][name]) for name in names]
        rows.append([str(trial["trial"]), value, *settings, epoch, f"{trial['seconds']:.0f}", _state(trial)])
    return rows


def data_name(summary: dict[str, Any]) -> str:
    """What the trials were trained on."""
    data = summary["dataset"]
    return data["name"] if data["source"] == "path" else "the built-in sample"


def budget_line(budget: dict[str, Any]) -> str:
    """The budget in one sentence."""
    stopping = f"patience {budget['patience']}" if budget["patience"] else "no early stopping"
    pruning = (
        "no trial cut short"
        if budget["pruner"] == "none"
        else f"trials below the median cut short from epoch {budget['pruner_warmup_epochs']} on, "
        f"after {MIN_FOR_PRUNING} whole ones"
    )
    return (
        f"{budget['trials']} trials of at most {budget['epochs']} epochs (validated every {budget['eval_every']}, "
        f"{stopping}), seed {budget['seed']}, sampler seed {budget['sampler_seed']}; {pruning}"
    )


def hints(summary: dict[str, Any], space: Space) -> list[str]:
    """Fields whose chosen value lies at an end of its range."""
    if summary["best"] is None:
        return []
    values = summary["best"]["values"]
    ends = {name: near_an_end(domain, values[name]) for name, domain in space.items()}
    return [
        f"{name} {shown_value(values[name])} lies at the {end} end of {describe(space[name])}; "
        "what lies beyond was not tried"
        for name, end in ends.items()
        if end is not None
    ]


def as_markdown(summary: dict[str, Any], space: Space) -> str:
    """The trials best first, with the budget, the space and what the fields matter."""
    header, *rows = cells(summary, ranked(summary))
    rule = ["---:"] * (len(header) - 1) + ["---"]
    short = short_names(list(space))
    lines = [
        f"# {summary['name']}: {len(rows)} of {summary['budget']['trials']} trials",
        "",
        f"Chosen by {summary['monitor']} on the validation part; the search did not read the test part.",
        "",
        *("| " + " | ".join(row) + " |" for row in (header, rule, *rows)),
        "",
        f"- data: {data_name(summary)}",
        f"- budget: {budget_line(summary['budget'])}",
        *(f"- searched: {name} = {describe(domain)}" for name, domain in space.items()),
    ]
    if summary["importance"]:
        shares = ", ".join(f"{short[name]} {share:.0%}" for name, share in summary["importance"].items())
        lines.append(f"- share in the variance of the values (fANOVA): {shares}")
    lines += [f"- hint: {hint}" for hint in hints(summary, space)]
    lines += [
        f"- trial {trial['trial']} failed: {trial['reason']}"
        for trial in summary["trials"]
        if trial["reason"] and not trial["same_as"]
    ]
    return "\n".join(lines) + "\n"


def _state(trial: dict[str, Any]) -> str:
    notes = [f"as trial {trial['same_as']}"] if trial["same_as"] else []
    notes += ["the config as it stands"] if trial["as_it_stands"] else []
    return trial["state"] + (f" ({', '.join(notes)})" if notes else "")


def _trial_json(ordinal: int, trial: FrozenTrial) -> dict[str, Any]:
    """One trial; the value of one cut short is the best that it had reached, and does not take part in the choice."""
    notes, reached = notes_of(trial), trial.intermediate_values
    value, best_epoch = trial.value, notes.get("best_epoch")
    if trial.state == TrialState.PRUNED and reached:
        best_epoch = max(reached, key=lambda epoch: (reached[epoch], -epoch))
        value = reached[best_epoch]
    return {
        "trial": ordinal,
        "state": _STATES[trial.state],
        "value": value,
        "best_epoch": best_epoch,
        "epochs": notes.get("epochs"),
        "values": notes["values"],
        "seconds": notes.get("seconds", 0.0),
        "as_it_stands": as_it_stands(trial),
        "same_as": notes.get("same_as"),
        "reason": notes.get("reason"),
        "run": notes.get("run"),
    }
