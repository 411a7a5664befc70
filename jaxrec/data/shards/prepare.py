"""From a source to a folder of shards, whole or not there at all."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable

import numpy as np

import jaxrec
from jaxrec.data.config import DataConfig
from jaxrec.data.readers.problems import BadRows
from jaxrec.data.recipe import recipe, recipe_sha256
from jaxrec.data.shards.buckets import ROWS_PER_BUCKET, Buckets
from jaxrec.data.shards.folder import write_manifest
from jaxrec.data.shards.ids import read_raw
from jaxrec.data.shards.parts import divide
from jaxrec.data.shards.pieces import ROWS_PER_SHARD, Dealer, number_of_shards
from jaxrec.data.shards.settings import check_streamable
from jaxrec.data.shards.source import find_streamed_source
from jaxrec.data.shards.streamed_filters import filter_rows
from jaxrec.data.source import content_digest, find_source
from jaxrec.errors import UserError


def prepare_shards(
    config: DataConfig,
    folder: pathlib.Path,
    on_event: Callable[[str], None] = lambda line: None,
    rows_per_bucket: int = ROWS_PER_BUCKET,
    rows_per_shard: int = ROWS_PER_SHARD,
) -> None:
    """Read, filter and split what config.path names, and write it into a new folder.

    The users, items and parts are those that jaxrec.data.prepared.load_dataset makes of the same settings. In memory
    are a stretch of the source, a range of users, and some numbers a user and an item; on disk, beside the folder,
    about the size of the source for as long as it takes. on_event is told what happens, one line each. Raises
    UserError for settings that cannot be streamed, bad content and a folder that holds something.
    """
    check_streamable(config)
    check_new(folder)
    path = find_source(config)
    if path is None:
        raise UserError("--shards: no data is given; allowed: --path FILE_OR_FOLDER (the built-in sample fits memory)")
    source = find_streamed_source(config, path)
    content, bad = content_digest(path), BadRows(config.on_bad_row)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
        try:
            fresh, scratch = temporary / "fresh", temporary / "scratch"
            fresh.mkdir()
            scratch.mkdir()
            on_event(f"reading {path.name}")
            raw = read_raw(source, config, bad, scratch / "raw")
            on_event(f"filtering the interactions of {len(raw.users):,} users and {len(raw.items):,} items")
            buckets = Buckets(scratch / "buckets", raw.rows_of_user, raw.timed, rows_per_bucket)
            found = filter_rows(raw, config.filter, buckets)
            shutil.rmtree(scratch / "raw")
            num_shards = number_of_shards(found.present.rows, rows_per_shard)
            on_event(f"dividing {found.present.rows:,} interactions and writing {num_shards} shards")
            dealer = Dealer(scratch / "shards", num_shards)
            division = divide(found, config, fresh, scratch, dealer)
            sizes = dealer.write(fresh)
            np.save(fresh / "users.npy", division.raw_users)
            np.save(fresh / "items.npy", division.raw_items)
            counts = {name: part["interactions"] for name, part in division.split["parts"].items()}
            num_users, num_items = len(division.raw_users), len(division.raw_items)
            provenance = {
                "jaxrec": jaxrec.__version__,
                "recipe": recipe(config),
                "source": source.record(bad, content) | found.read,
                "steps": found.steps,
                "split": division.split,
                "noise": {"share": config.noise, "seed": config.noise_seed, "interactions": 0},
                "leakage": division.leakage,
                "statistics": {
                    "users": num_users,
                    "items": num_items,
                    "interactions": counts,
                    "density": sum(counts.values()) / (num_users * num_items),
                    "users_without_target": division.leakage["users_without_target"],
                    "unseen_items": num_items - division.split["parts"]["train"]["items"],
                    "items_with_text": None,
                    "reviews": None,
                },
            }
            record = json.dumps(provenance, indent=2, ensure_ascii=False)
            (fresh / "provenance.json").write_text(record + "\n", encoding="utf-8")
            write_manifest(fresh, recipe_sha256(content, config), sizes)
            if folder.exists():
                folder.rmdir()  # empty, or this fails
            os.replace(fresh, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UserError(f"--shards: {folder} cannot be written ({error.strerror or error})") from error


def check_new(folder: pathlib.Path) -> None:
    """Raise UserError unless the folder is absent or empty: nothing is written over."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--shards: {folder} exists; allowed: a new or empty folder")
