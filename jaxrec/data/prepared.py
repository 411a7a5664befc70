"""From what the config says to a prepared dataset: found, read, filtered, split, kept for the next time."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

import jaxrec
from jaxrec.data import prepared_cache
from jaxrec.data.behaviors import assign_behaviors, behavior_statistics, check_behaviors, divide, drop_implied
from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.filters import apply_filters, check_filter, counts
from jaxrec.data.interactions import Interactions
from jaxrec.data.leakage import leakage_report
from jaxrec.data.noise import add_noise, check_noise
from jaxrec.data.packed_text import PackedText
from jaxrec.data.recipe import recipe, recipe_sha256
from jaxrec.data.reviews import keep_used
from jaxrec.data.shards.folder import holds_shards, load_shards, shards_sha256
from jaxrec.data.source import content_digest, find_source
from jaxrec.data.splits import check_split, pool, split_with_record

_PLACES_FOR_TIMES = ("sequences",)
"""Formats whose timestamps are places in a user's sequence: they order one user's rows and compare no two users."""


def load_dataset(config: DataConfig, on_event: Callable[[str], None] | None = None) -> Dataset:
    """The dataset that the config describes: from the prepared cache where it is there, built and kept otherwise.

    Looks at config.path, then $JAXREC_DATA/<name>, then takes the built-in sample. on_event is told what happens,
    one line each. Raises UserError for a path that does not exist, bad content, and settings that do not fit it.
    """
    tell = on_event or (lambda line: None)
    check_filter(config.filter)
    check_behaviors(config)
    check_split(config)
    check_noise(config)
    path = find_source(config)
    if path is None:
        return _from_sample(config)
    if holds_shards(path):
        return load_shards(config, path)
    content = content_digest(path)
    sha256 = recipe_sha256(content, config)
    entry = prepared_cache.cache_folder(config.cache) / f"{sha256[:40]}-{jaxrec.__version__}"
    dataset = _from_cache(entry, sha256, tell)
    if dataset is None:
        tell(f"reading {path.name}")
        dataset = _from_files(config, path, content, sha256)
        try:
            prepared_cache.store(dataset, entry)
        except OSError as error:
            reason = error.strerror or str(error)
            tell(f"{entry.parent}: prepared data cannot be kept there ({reason}); going on without")
    # Equal content under another name shares an entry.
    source = dataset.provenance["source"] | {"name": path.name}
    return dataclasses.replace(dataset, name=config.name, provenance=dataset.provenance | {"source": source})


def dataset_sha256(config: DataConfig) -> str:
    """The sha256 of the dataset that `load_dataset` would give, without reading more than the files' bytes."""
    from jaxrec.data.sample import VERSION

    path = find_source(config)
    if path is None:
        return recipe_sha256({"sample": VERSION}, _for_sample(config))
    if holds_shards(path):
        return shards_sha256(path)
    return recipe_sha256(content_digest(path), config)


def _from_cache(entry: pathlib.Path, sha256: str, tell: Callable[[str], None]) -> Dataset | None:
    try:
        dataset = prepared_cache.load(entry, sha256)
    except prepared_cache.DamagedEntryError as damage:
        tell(f"{entry}: prepared data is damaged ({damage}); preparing it anew")
        return None
    if dataset is not None:
        tell(f"using prepared data in {entry}")
    return dataset


def _from_files(config: DataConfig, path: pathlib.Path, content: str, sha256: str) -> Dataset:
    from jaxrec.data.readers import read

    result = read(config, path)
    here = f"{path if path.is_dir() else path.parent}{os.sep}"
    source = {
        "kind": "path",
        "name": path.name,
        "format": result.format,
        "sha256": content,
        "files": [pathlib.Path(file).name for file in result.files],
        "skipped_rows": result.skipped_rows,
        # The provenance travels with results, so it says which file and not where on this machine.
        "skipped_examples": [example.replace(here, "") for example in result.examples],
    }
    interactions, chronological = result.interactions, result.format in _PLACES_FOR_TIMES
    if chronological:
        interactions = dataclasses.replace(interactions, timestamps=None)
    about = _About(result.item_text, result.reviews, result.item_fields)
    return _prepare(config, "path", interactions, about, source, sha256, chronological)


def _from_sample(config: DataConfig) -> Dataset:
    """The sample keeps its own behaviour, ratings and times, and is divided even where a config says `given`.

    Without `behaviors` it has its favors alone.
    """
    from jaxrec.data.sample import FAVOR, VERSION, make_sample, rated_events

    sample = make_sample()
    adapted = _for_sample(config)
    ignored = {f"filter.{name}": getattr(config.filter, name) for name in _OWN}
    ignored |= {"split": config.split} if adapted.split != config.split else {}
    ignored |= {"pool": config.pool} if config.pool else {}
    source = {
        "kind": "sample",
        "name": "sample",
        "version": VERSION,
        "ignored_settings": {name: value for name, value in ignored.items() if value is not None},
    }
    sha256 = recipe_sha256({"sample": VERSION}, adapted)
    text = dict(zip(sample.interactions.items.raw.tolist(), sample.item_text, strict=True))
    interactions, reviews = sample.interactions, None
    favors = np.arange(len(interactions))
    if config.behaviors:
        interactions = rated_events(sample)
        favors = np.flatnonzero(interactions.behaviors == FAVOR)
    if config.reviews:
        written = np.full(len(interactions), -1, np.int32)
        written[favors[sample.reviews.rows]] = np.arange(len(sample.reviews.rows), dtype=np.int32)
        interactions, reviews = dataclasses.replace(interactions, reviews=written), PackedText.pack(sample.reviews.text)
    return _prepare(adapted, "sample", interactions, _About(text, reviews), source, sha256, chronological=True)


_OWN = ("behavior", "min_rating", "start_time", "end_time")
"""Filters that the sample has no use for."""


def _for_sample(config: DataConfig) -> DataConfig:
    return dataclasses.replace(
        config,
        filter=dataclasses.replace(config.filter, **dict.fromkeys(_OWN)),
        pool=False,
        split="ratio" if config.split == "given" else config.split,
    )


@dataclasses.dataclass(frozen=True)
class _About:
    """What a source says beside the interactions; text and fields by raw item id."""

    item_text: dict[str, str] | None
    reviews: PackedText | None = None
    item_fields: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)


def _prepare(
    config: DataConfig,
    kind: Any,
    interactions: Interactions,
    about: _About,
    source: dict[str, Any],
    sha256: str,
    chronological: bool,
) -> Dataset:
    source = source | counts(interactions)
    steps, behaviors, auxiliary = [], None, None
    if config.behaviors:
        before = counts(interactions)
        interactions, behaviors = assign_behaviors(interactions, config.behaviors)
        setting = " ".join(config.behaviors)
        steps.append({"step": "behaviors", "setting": setting, "before": before, "after": counts(interactions)})
        if config.implied == "drop":
            before = counts(interactions)
            interactions, behaviors["implied"] = drop_implied(interactions, config.implied_within)
            setting = f"drop within {config.implied_within} s"
            steps.append({"step": "implied", "setting": setting, "before": before, "after": counts(interactions)})
    if config.pool and interactions.parts is not None:
        before = counts(interactions)
        interactions = pool(interactions, config, by_behavior=behaviors is not None)
        steps.append(
            {"step": "pool", "setting": config.filter.duplicates, "before": before, "after": counts(interactions)}
        )
    interactions, filtered = apply_filters(interactions, config.filter, by_behavior=behaviors is not None)
    if behaviors is not None:
        behaviors |= {"statistics": behavior_statistics(interactions)}
        interactions, auxiliary = divide(interactions)
    train, valid, test, split_record = split_with_record(interactions, config, chronological)
    train, num_noise = add_noise(train, valid, test, config.noise, config.noise_seed)
    leakage = leakage_report(train, valid, test)
    reviews = about.reviews
    if reviews is not None:
        (train, valid, test), reviews = keep_used((train, valid, test), reviews)
    raw_items, text = train.items.raw.tolist(), None
    if about.item_text is not None:
        text = tuple(about.item_text.get(raw, "") for raw in raw_items)
    fields = {
        name: np.array([values.get(raw, "") for raw in raw_items], np.str_)
        for name, values in about.item_fields.items()
    }
    provenance = {
        "jaxrec": jaxrec.__version__,
        "recipe": recipe(config),
        "source": source,
        "steps": steps + filtered,
        "split": split_record,
        "noise": {"share": config.noise, "seed": config.noise_seed, "interactions": num_noise},
        "leakage": leakage,
        "statistics": {
            "users": len(train.users),
            "items": len(train.items),
            "interactions": {"train": len(train), "valid": len(valid), "test": len(test)},
            "density": (len(interactions) + num_noise) / (len(train.users) * len(train.items)),
            "users_without_target": leakage["users_without_target"],
            "unseen_items": len(train.items) - counts(train)["items"],
            "items_with_text": None if text is None else sum(1 for words in text if words),
            "reviews": None if reviews is None else len(reviews),
        },
    }
    if behaviors is not None:
        provenance["behaviors"] = behaviors
    if fields:
        provenance["statistics"]["items_with_field"] = {
            name: int(np.count_nonzero(values != "")) for name, values in fields.items()
        }
    # What is returned now and what is read back from the cache are the same, tuples and all.
    provenance = json.loads(json.dumps(provenance))
    return Dataset(config.name, kind, train, valid, test, sha256, provenance, text, reviews, auxiliary, fields)
