"""What several seeds found together: for each metric its mean, deviation and 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxrec.eval.significance import confidence_interval, spread

_DIFFERS = object()


def summarize(run_hash: str, results: Sequence[Mapping[str, Any]], folders: Sequence[str]) -> dict[str, Any]:
    """result.json of the seeds' folder: what all their results share, and of metrics the means.

    Beside `valid` and `test`, which hold means, a protocol has `over_seeds`: part -> metric -> `over_seeds` of its
    values. `runs` names each seed's folder, steps and monitored metric. steps, best_step: None, they differ by seed.
    """
    summary = _shared(results)
    for name, record in summary["protocols"].items():
        of_seeds = [result["protocols"][name] for result in results]
        record["over_seeds"] = {
            part: {metric: over_seeds([one[part][metric] for one in of_seeds]) for metric in of_seeds[0][part]}
            for part in ("valid", "test")
        }
        for part, metrics in record["over_seeds"].items():
            record[part] = {metric: found["mean"] for metric, found in metrics.items()}
    main, monitor = summary["main"], summary["monitor"]
    train_seconds = sum(result["seconds"]["train"] for result in results)
    examples = sum(result["examples_per_second"] * result["seconds"]["train"] for result in results)
    return summary | {
        "seed": results[0]["seed"],
        "config_hash": run_hash,
        "seeds": [result["seed"] for result in results],
        "runs": [
            {
                "seed": result["seed"],
                "folder": folder,
                "config_hash": result["config_hash"],
                "steps": result["steps"],
                "best_step": result["best_step"],
                "valid": result["protocols"][main]["valid"][monitor],
                "test": result["protocols"][main]["test"][monitor],
            }
            for result, folder in zip(results, folders, strict=True)
        ],
        "steps": None,
        "best_step": None,
        "seconds": {
            name: round(sum(result["seconds"][name] for result in results), 3) for name in results[0]["seconds"]
        },
        "examples_per_second": round(examples / train_seconds, 1) if train_seconds else 0.0,
    }


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean, deviation (over n - 1), 95 % interval of the mean by Student's t, and the values, one a seed."""
    mean, deviation = spread(values)
    return {
        "mean": mean,
        "deviation": deviation,
        "interval": confidence_interval(values),
        "values": [float(value) for value in values],
    }


def _shared(values: Sequence[Any]) -> Any:
    """What all values have in common: of objects the members that are equal, at any depth."""
    first = values[0]
    if all(isinstance(value, dict) for value in values):
        common = {
            name: _shared([value[name] for value in values]) for name in first if all(name in value for value in values)
        }
        return {name: value for name, value in common.items() if value is not _DIFFERS}
    return first if all(value == first for value in values) else _DIFFERS
