"""Interactions with repeats, rare users and items and ids that are not dense, as a CSV and as shards of it."""

import dataclasses
import pathlib

import numpy as np

from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.prepared import load_dataset
from jaxrec.data.shards.prepare import prepare_shards


def write_events(path: pathlib.Path, rows: int = 1500, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    users = (rng.random(rows) ** 3 * 120).astype(int) * 7 + 5
    items = (rng.random(rows) ** 4 * 90).astype(int) * 13 + 17
    columns = zip(users, items, rng.integers(1, 6, rows), rng.integers(100, 900, rows), strict=True)
    lines = [f"{user},i{item},{rating},{time}" for user, item, rating, time in columns]
    path.write_text("user,item,rating,timestamp\n" + "\n".join(lines) + "\n")


def sharded(folder: pathlib.Path, config: DataConfig | None = None):
    """The dataset of a folder of shards of small buckets and shards, and the config that reads it."""
    write_events(folder / "events.csv")
    config = config or DataConfig(filter=FilterConfig(user_core=3))
    prepare_shards(
        dataclasses.replace(config, path=str(folder / "events.csv")), folder / "shards", rows_per_bucket=200,
        rows_per_shard=8,
    )  # fmt: skip
    config = dataclasses.replace(config, path=str(folder / "shards"))
    return load_dataset(config), config
