"""The settings that decide what becomes of given content, and the hashes made of both."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.source import digest

RECIPE_VERSION = 1
"""Raised when the same settings come to mean another dataset."""

_RECIPE = (
    "format", "columns", "pool", "on_bad_row", "filter", "split", "ratio", "order", "split_seed", "noise", "noise_seed"
)  # fmt: skip
_NOISE = ("noise", "noise_seed")


def recipe_sha256(content: Any, config: DataConfig) -> str:
    """The sha256 of the dataset that given content becomes."""
    return digest({"content": content, "recipe": recipe(config)})


def sha256s_of_split(dataset: Dataset) -> frozenset[str]:
    """Its own sha256, and those of the datasets that hold the same interactions in the same parts but for what only
    adds to them: noise in training, and review texts. All without what this one has; with it, they are not known."""
    made = dataset.provenance
    if "recipe" not in made or "source" not in made:
        return frozenset((dataset.sha256,))
    given = made["recipe"]
    columns = {name: column for name, column in given["columns"].items() if name != "review"}
    unread = {name: value for name, value in given.items() if name != "reviews"} | {"columns": columns}
    recipes = [given, unread]
    if made.get("noise", {}).get("interactions"):
        recipes += [settings | _noiseless() for settings in recipes]
    content = _content(made["source"])
    return frozenset((dataset.sha256, *(digest({"content": content, "recipe": one}) for one in recipes)))


def _content(source: dict[str, Any]) -> Any:
    """What the sha256 of a dataset says about where it came from."""
    return {"sample": source["version"]} if source["kind"] == "sample" else source["sha256"]


def _noiseless() -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(DataConfig) if field.name in _NOISE}


def recipe(config: DataConfig) -> dict[str, Any]:
    """The settings that decide what becomes of given content, as JSON."""
    settings = dataclasses.asdict(config)
    chosen = {name: settings[name] for name in _RECIPE}
    # 8 and 8.0 are one share; a config that was written down and read again has the second.
    chosen |= {"ratio": tuple(float(share) for share in config.ratio), "noise": float(config.noise)}
    # What is not asked for is not named, so that data sets from before there was the setting keep their hashes.
    if config.filter.min_events == 0:
        del chosen["filter"]["min_events"]
    if config.leave_one_out_from != 3:
        chosen["leave_one_out_from"] = config.leave_one_out_from
    if config.behaviors:
        chosen["behaviors"] = settings["behaviors"]
    if config.implied != "keep":
        chosen |= {"implied": config.implied, "implied_within": config.implied_within}
    if config.reviews:
        return {"version": RECIPE_VERSION} | chosen | {"reviews": True}
    # Without reviews it does not matter what their column is called.
    del chosen["columns"]["review"]
    return {"version": RECIPE_VERSION} | chosen
