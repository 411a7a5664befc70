"""Vectors of items by modality: given in files, or those of the built-in sample, with who has one."""

from __future__ import annotations

import dataclasses
import hashlib
import re

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.data.text_features import TextFeatures
from jaxrec.data.text_files import read_text_files
from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class ItemFeatures:
    """Aligned to the integer ids of a dataset, by modality.

    vectors: [I, W] float32, each modality its own W, zero where the mask [I] bool is False: the item has none.
    sha256: of what the vectors are made from; it belongs to the hash of the experiment.
    """

    vectors: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    sha256: str


def load_item_features(
    config: ItemFeaturesConfig, dataset: Dataset, text: TextFeatures | None = None
) -> ItemFeatures | None:
    """The features that the config asks for, None where there are none. text: what features.text reads.

    Raises: UserError for a file that is missing, of another length than the catalogue or not finite, and where there
    is no text for features.text.
    """
    check_item_features(config)
    found = None
    if config.paths:
        found = _given(config, dataset)
    elif config.source == "auto" and dataset.source == "sample":
        found = _of_sample(dataset)
    return _with_text(found, text, dataset) if config.text else found


def check_item_features(config: ItemFeaturesConfig) -> None:
    """Raise UserError for settings that contradict each other, whatever the data."""
    names = []
    for given in config.paths:
        name, equals, path = given.partition("=")
        if not (equals and path and re.fullmatch(r"[a-z][a-z0-9_]*", name)) or name == "id":
            raise UserError(
                f"features.paths: found {given!r}, allowed: modality=PATH, the modality in small letters and not id"
            )
        names.append(name)
    if config.text and "text" in names:
        raise UserError("features.paths: found the modality text beside features.text, allowed: one of them")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"features.paths: found the modality {twice} twice, allowed: once")
    if config.paths and config.source == "none":
        raise UserError("features.source: found none beside features.paths, allowed: auto")


def _given(config: ItemFeaturesConfig, dataset: Dataset) -> ItemFeatures:
    vectors, masks, digest = {}, {}, hashlib.sha256()
    for given in sorted(config.paths):
        name, _, path = given.partition("=")
        read = read_text_files(path)
        trained_on = read.manifest.get("trained_on")
        if trained_on not in (None, dataset.sha256):
            raise UserError(
                f"{read.path}: found vectors of a model trained on other data or another split, whose training part "
                f"may hold what is tested here; allowed: vectors of a run on {dataset.name} as it is prepared here"
            )
        vectors[name], masks[name] = read.item.align(dataset.items, "items")
        if not masks[name].any():
            raise UserError(f"{read.item.path}: no item of {dataset.name} has a vector; every row is zero or masked")
        digest.update(f"{name} {read.sha256}\n".encode())
    return ItemFeatures(vectors, masks, digest.hexdigest())


def _of_sample(dataset: Dataset) -> ItemFeatures:
    """The image and text vectors of the sample's items, which carry the planted truth under noise."""
    from jaxrec.data.sample import VERSION, make_sample

    sample = make_sample()
    places = sample.interactions.items.encode(dataset.items.raw)
    held = {"image": sample.image_vectors, "text": sample.text_vectors}
    vectors = {name: rows[places].astype(np.float32) for name, rows in held.items()}
    masks = {name: np.ones(len(rows), bool) for name, rows in vectors.items()}
    sha256 = hashlib.sha256(f"sample {VERSION}".encode()).hexdigest()
    return ItemFeatures(vectors, masks, sha256)


def _with_text(found: ItemFeatures | None, text: TextFeatures | None, dataset: Dataset) -> ItemFeatures:
    """The features with the vectors of item texts as their modality text, in place of the sample's."""
    if text is None:
        raise UserError(
            f"features.text: {dataset.name} has no item text; allowed: --text.path DIR, item_text.jsonl in the folder "
            "that data.path names, or --no-features.text"
        )
    others = ItemFeatures({}, {}, "") if found is None else found
    sha256 = hashlib.sha256(f"{others.sha256} text {text.sha256}".encode()).hexdigest()
    return ItemFeatures(others.vectors | {"text": text.item}, others.masks | {"text": text.item_mask}, sha256)


def encode_fields(dataset: Dataset) -> dict[str, np.ndarray]:
    """The categorical fields of items as numbers: [I] int32 from 1 in the order of the values, 0 where unknown."""
    encoded = {}
    for name, raw in sorted(dataset.item_fields.items()):
        values, places = np.unique(raw, return_inverse=True)
        unknown = int(len(values) > 0 and values[0] == "")
        encoded[name] = (places.reshape(raw.shape) + 1 - unknown).astype(np.int32)
    return encoded
