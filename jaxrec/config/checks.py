"""Rules that tie fields together, checked before anything is compiled; each refusal is one line."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from typing import Any

from jaxrec.config.experiment import Experiment
from jaxrec.config.fields import leaves
from jaxrec.data.dataset import Dataset
from jaxrec.data.filters import check_filter
from jaxrec.data.item_features import check_item_features
from jaxrec.data.noise import check_noise
from jaxrec.data.profiles.config import check_profiles
from jaxrec.data.published import check_published
from jaxrec.data.splits import check_split
from jaxrec.data.text import check_text
from jaxrec.errors import UserError
from jaxrec.eval.metrics import METRICS


def validate(experiment: Experiment[Any]) -> None:
    """Check what can be known without the data. Raises UserError naming the field, its value and what is allowed."""
    for leaf in leaves(experiment):
        for value in leaf.value if isinstance(leaf.value, tuple) else (leaf.value,):
            _require(not isinstance(value, float) or math.isfinite(value), leaf.name, value, "finite numbers")
    _require(0 <= experiment.seed < 2**32, "seed", experiment.seed, "0 to 4294967295")
    last = experiment.seed + experiment.seeds - 1
    _require(experiment.seeds >= 1 and last < 2**32, "seeds", experiment.seeds, "1 or more, the last below 4294967296")
    if experiment.seeds > 1 and not experiment.model.trains:
        raise UserError(f"seeds: found {experiment.seeds}, but {experiment.model.name} trains nothing; allowed: 1")
    _validate_data(experiment)
    _validate_train(experiment)
    _validate_eval(experiment)
    _validate_devices(experiment)
    experiment.model.validate()
    _validate_text(experiment)


def resolve(experiment: Experiment[Any], dataset: Dataset, text: object | None) -> Experiment[Any]:
    """The experiment with what `auto` leaves to the data decided: text where there is some, learned otherwise; and
    shards as the input where there are some."""
    if dataset.shards is not None and experiment.train.input == "auto":
        experiment = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, input="shards"))
    if getattr(experiment.model, "text_source", None) != "auto":
        return experiment
    model = dataclasses.replace(experiment.model, text_source="learned" if text is None else "text")
    return dataclasses.replace(experiment, model=model)


def validate_against(experiment: Experiment[Any], dataset: Dataset, text: object | None, num_devices: int) -> None:
    """Check the experiment against its data and devices. Raises UserError as `validate` does.

    text: the loaded text features, None where there are none. num_devices: devices that the run will use.
    """
    largest = max(*experiment.eval.k, experiment.eval.save_topk)
    field = "eval.k" if largest in experiment.eval.k else "eval.save_topk"
    _require(largest <= dataset.num_items, field, largest, f"at most {dataset.num_items}, the items of {dataset.name}")
    if experiment.model.needs_text and text is None:
        raise UserError(f"text: {dataset.name} has no item text, but the {_needs_text(experiment)}")
    for part in ("valid", "test"):
        if len(getattr(dataset, part)) == 0:
            raise UserError(f"data.split: the {part} part of {dataset.name} has no interaction, so nothing to rank")
    if len(dataset.train) == 0:
        raise UserError(f"data.split: the train part of {dataset.name} has no interaction, so nothing to learn")
    _check_mesh(experiment, num_devices)


def _require(holds: bool, field: str, found: object, allowed: str) -> None:
    if not holds:
        raise UserError(f"{field}: found {found}, allowed: {allowed}")


def _needs_text(experiment: Experiment[Any]) -> str:
    choices = "--text.path DIR, or item_text.jsonl in the folder that data.path names"
    if hasattr(experiment.model, "text_source"):
        choices += ", or --model.text-source learned (no text)"
    return f"model {experiment.model.name} needs text; allowed: {choices}"


def _validate_text(experiment: Experiment[Any]) -> None:
    text = experiment.text
    check_text(text)
    check_item_features(experiment.features)
    check_profiles(experiment.profiles)
    for given, field, needed in (
        (experiment.features.paths, "features.paths", "needs_features"),
        (experiment.features.text, "features.text", "needs_features"),
        (experiment.profiles.path, "profiles.path", "needs_profiles"),
    ):
        if given and not getattr(experiment.model, needed, False):
            raise UserError(f"{field}: given, but model {experiment.model.name} reads none; allowed: nothing")
    if experiment.features.text and text.source == "none":
        raise UserError("text.source: found none beside features.text, allowed: auto, tfidf, given or encoder")
    if text.reviews and not experiment.data.reviews:
        raise UserError(f"text.reviews: found {text.reviews} without data.reviews, allowed: 0, or --data.reviews")
    decided_by_data = getattr(experiment.model, "text_source", None) == "auto"
    if text.source == "none" and experiment.model.needs_text and not decided_by_data:
        raise UserError(f"text.source: found none, but the {_needs_text(experiment)}")


def _validate_data(experiment: Experiment[Any]) -> None:
    data = experiment.data
    _require(data.path != "", "data.path", "''", "a file or a folder")
    _require(bool(data.name) and "/" not in data.name, "data.name", repr(data.name), "a name without /")
    check_split(data)
    check_filter(data.filter)
    check_noise(data)
    check_published(data)


def _validate_train(experiment: Experiment[Any]) -> None:
    train, optimizer = experiment.train, experiment.train.optimizer
    for name in ("epochs", "batch_size", "eval_every", "device_budget_mb", "log_every"):
        _require(getattr(train, name) >= 1, f"train.{name}", getattr(train, name), "1 or more")
    _require(train.patience >= 0, "train.patience", train.patience, "0 (never stop early) or more")
    _require(train.input_workers >= 0, "train.input_workers", train.input_workers, "0 (threads) or more")
    _require(
        train.checkpoint_every_seconds > 0, "train.checkpoint_every_seconds", train.checkpoint_every_seconds, "above 0"
    )
    _require(optimizer.learning_rate > 0, "train.optimizer.learning_rate", optimizer.learning_rate, "above 0")
    _require(optimizer.warmup_steps >= 0, "train.optimizer.warmup_steps", optimizer.warmup_steps, "0 or more")
    _require(optimizer.weight_decay >= 0, "train.optimizer.weight_decay", optimizer.weight_decay, "0 or more")
    if optimizer.weight_decay > 0 and optimizer.name != "adamw":
        raise UserError(
            f"train.optimizer.weight_decay: found {optimizer.weight_decay} with train.optimizer.name {optimizer.name}, "
            "allowed: 0, or name adamw"
        )
    if optimizer.clip_norm is not None:
        _require(optimizer.clip_norm > 0, "train.optimizer.clip_norm", optimizer.clip_norm, "above 0, or None")


def _validate_eval(experiment: Experiment[Any]) -> None:
    cutoffs, monitor = experiment.eval.k, experiment.train.monitor
    _require(
        len(cutoffs) > 0 and cutoffs[0] >= 1 and all(a < b for a, b in itertools.pairwise(cutoffs)),
        "eval.k",
        cutoffs,
        "whole numbers from 1, ascending, such as 5 10 20",
    )
    match = re.fullmatch(r"([a-z]+)@(\d+)", monitor)
    if match is None or match[1] not in METRICS or int(match[2]) not in cutoffs:
        raise UserError(
            f"train.monitor: found {monitor!r}, allowed: one of {', '.join(METRICS)}, then @ and one of eval.k "
            f"({', '.join(map(str, cutoffs))}), such as ndcg@{max(cutoffs)}"
        )
    _require(
        experiment.eval.memory_budget_mb >= 1, "eval.memory_budget_mb", experiment.eval.memory_budget_mb, "1 or more"
    )
    protocols, names = experiment.eval.protocols, ("full", "sampled99", "retrieved")
    _require(
        len(protocols) > 0 and len(set(protocols)) == len(protocols) and set(protocols) <= set(names),
        "eval.protocols",
        " ".join(protocols) or "none",
        f"one or more of {', '.join(names)}, each once",
    )
    if "sampled99" in protocols:
        _require(max(cutoffs) <= 100, "eval.k", cutoffs, "at most 100, the candidates of eval.protocols sampled99")
    if "retrieved" in protocols and experiment.eval.pools is None and not hasattr(experiment.model, "needs_rankings"):
        raise UserError(
            "eval.pools: found none, allowed with eval.protocols retrieved: a folder that jaxrec.precompute made, of "
            "the step candidates or ranking"
        )
    if experiment.eval.pools is not None:
        _require("retrieved" in protocols, "eval.pools", experiment.eval.pools, "None without eval.protocols retrieved")
    _require(experiment.eval.candidates_seed >= 0, "eval.candidates_seed", experiment.eval.candidates_seed, "0 or more")
    most = experiment.eval.max_users
    _require(most is None or most >= 1, "eval.max_users", most, "1 or more, or None")
    if most is not None and protocols != ("full",):
        raise UserError(f"eval.max_users: found {most} with eval.protocols {' '.join(protocols)}, allowed: full alone")
    cold = experiment.eval.cold_start_events
    _require(cold is None or cold >= 0, "eval.cold_start_events", cold, "0 or more, or None")
    _require(experiment.eval.save_topk >= 0, "eval.save_topk", experiment.eval.save_topk, "0 (none) or more")


def _validate_devices(experiment: Experiment[Any]) -> None:
    devices = experiment.devices
    for name in ("count", "model"):
        value = getattr(devices, name)
        _require(value is None or value >= 1, f"devices.{name}", value, "1 or more, or None")
    if devices.count is not None:
        _check_mesh(experiment, devices.count)


def _check_mesh(experiment: Experiment[Any], count: int) -> None:
    """The model axis takes a divisor of the devices and divides the features of a model that shards them."""
    axis = experiment.devices.model
    if axis is None:
        axis = count if getattr(experiment.model, "mesh_axis", "data") == "model" else 1
    _require(count % axis == 0, "devices.model", axis, f"a divisor of the {count} devices in use")
    sizes = {leaf.name: leaf.value for leaf in leaves(experiment.model, "model.")}
    field = next((name for name in ("model.dim", "model.base.dim") if name in sizes), None)
    if field is not None and sizes[field] % axis:
        raise UserError(
            f"{field}: found {sizes[field]}, allowed: multiples of {axis}, the devices along the mesh axis model; "
            "or fewer devices with --devices.model or --devices.count"
        )
