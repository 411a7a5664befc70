"""Small studies and finished runs with planted values."""

import dataclasses
import json

import numpy as np

from jaxrec.config import Experiment, to_json
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.artifacts import per_user_name
from jaxrec.eval.config import EvalConfig
from jaxrec.models.bprmf import BPRMFConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.studies import Column, Row, Study

NUM_USERS = 120
LIGHTGCN = Experiment(LightGCNConfig(dim=8), text=TextConfig(source="none"), eval=EvalConfig(k=(5, 10, 20)))
BPRMF = dataclasses.replace(LIGHTGCN, model=BPRMFConfig(dim=8))


def study(**changes):
    """BPR-MF and LightGCN, tested against it, on the sample with two seeds."""
    whole = Study(
        name="tiny",
        title="A tiny study",
        rows=(Row("BPR-MF", BPRMF), Row("LightGCN", LIGHTGCN, ("BPR-MF",))),
        columns=(Column("sample"),),
        seeds=(0, 1),
        metrics=("recall@10", "ndcg@10"),
    )
    return dataclasses.replace(whole, **changes)


def finish(cell, runs, values, *, sha="a" * 64, source="path", masked=("train", "valid"), **record):
    """The run of a cell, finished: its test ndcg@10 of each user is `values`, and recall@10 twice that.

    record: what its protocols hold besides, or instead.
    """
    folder = runs / cell.folder_name
    folder.mkdir(parents=True)
    per_user = {"ndcg@10": values, "recall@10": 2 * values}
    means = {name: float(np.mean(column)) for name, column in per_user.items()}
    protocol = {
        "k": [5, 10, 20],
        "masked": list(masked),
        "num_users": len(values),
        "candidates": None,
        "valid": means,
        "test": means,
        "reference": {"random": dict.fromkeys(means, 0.01), "popularity": dict.fromkeys(means, 0.05)},
    } | record
    sizes = {"train": 60, "valid": 20, "test": 20}
    dataset = {"name": "home", "source": source, "num_users": len(values), "num_items": 50, "sha256": sha}
    result = {
        "schema": 1,
        "status": "done",
        "name": "x",
        "model": cell.experiment.model.name,
        "seed": cell.seed,
        "config_hash": "0" * 12,
        "dataset": dataset | {"num_interactions": sizes},
        "protocols": dict.fromkeys(cell.experiment.eval.protocols, protocol),
        "versions": {"jax": "0"},
    }
    (folder / "config.json").write_text(json.dumps({"schema": 1, "experiment": to_json(cell.experiment)}))
    (folder / "result.json").write_text(json.dumps(result))
    order = np.random.default_rng(cell.seed).permutation(len(values))
    arrays = {"user_ids": np.asarray([f"user {i}" for i in order])}
    arrays |= {name: column[order] for name, column in per_user.items()}
    parts = [per_user_name(protocol, "test") for protocol in cell.experiment.eval.protocols]
    np.savez(folder / "per_user.npz", **{f"{part}/{name}": array for part in parts for name, array in arrays.items()})
