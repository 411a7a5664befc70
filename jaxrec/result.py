"""result.json, schema 1: what a run found, by which protocol, beside what chance and popularity find."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrec.assembly import Assembly
from jaxrec.data.dataset import Dataset
from jaxrec.eval.config import Protocol
from jaxrec.protocols import Ranked
from jaxrec.run_folder import SCHEMA, versions
from jaxrec.train.loop import TrainResult
from jaxrec.train.mesh import describe_devices


def make_result(assembly: Assembly, trained: TrainResult, ranked: Mapping[Protocol, Ranked]) -> dict[str, Any]:
    """The content of result.json; the first protocol is the main one."""
    main = next(iter(ranked))
    experiment, dataset = assembly.experiment, assembly.dataset
    parts = {"train": dataset.train, "valid": dataset.valid, "test": dataset.test}
    return {
        "schema": SCHEMA,
        "status": "done",
        "name": experiment.name,
        "model": experiment.model.name,
        "seed": experiment.seed,
        "config_hash": assembly.hash,
        "dataset": {
            "name": dataset.name,
            "source": dataset.source,
            "num_users": dataset.num_users,
            "num_items": dataset.num_items,
            "num_interactions": {name: len(part) for name, part in parts.items()},
            "num_unseen_items": dataset.num_unseen_items,
            "sha256": dataset.sha256,
        },
        "text": None
        if assembly.text is None
        else {
            "source": assembly.text.source,
            "sha256": assembly.text.sha256,
            "num_items": int(assembly.text.item_mask.sum()),
            "num_users": int(assembly.text.user_mask.sum()),
        },
        "features": None
        if assembly.features is None
        else {
            "sha256": assembly.features.sha256,
            "modalities": {
                name: {"dim": rows.shape[1], "num_items": int(assembly.features.masks[name].sum())}
                for name, rows in assembly.features.vectors.items()
            },
        },
        "profiles": None
        if assembly.profiles is None
        else {
            "sha256": assembly.profiles.sha256,
            "source": assembly.profiles.source,
            "fields": assembly.profiles.sizes,
            "numbers": sorted(assembly.profiles.numbers),
        },
        "rankings": None
        if assembly.rankings is None
        else {
            "sha256": assembly.rankings.sha256,
            "folder": pathlib.Path(experiment.model.rankings).name,
            "num_users": len(assembly.rankings.user_ids),
            "placed_by_model": round(float(assembly.rankings.num_ranked.mean()), 3),
        },
        "example_user": str(dataset.users.decode(ranked[main].test.user_ids[:1])[0]),
        "monitor": experiment.train.monitor,
        "main": main,
        "protocols": {name: one.record for name, one in ranked.items()},
        "steps": trained.steps,
        "best_step": trained.best_step,
        "seconds": {name: round(value, 3) for name, value in trained.seconds.items()},
        "examples_per_second": round(trained.examples_per_second, 1),
        "devices": describe_devices(assembly.mesh),
        "versions": versions(),
    }


def describe_split(dataset: Dataset) -> str:
    """One line of counts."""
    without = dataset.num_users - len(np.unique(dataset.test.user_ids))
    return (
        f"{dataset.num_users:,} users, {dataset.num_items:,} items, "
        f"{len(dataset.train):,} / {len(dataset.valid):,} / {len(dataset.test):,} interactions "
        f"(train / valid / test); {dataset.num_unseen_items:,} items without a training interaction, "
        f"{without:,} users without a test target"
    )
