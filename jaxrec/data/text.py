"""Text vectors of users and items: from a given file, from a sentence encoder or from TF-IDF, with who has text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from jaxrec.data.dataset import Dataset
from jaxrec.data.recipe import sha256s_of_split
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_features import TextFeatures, truncated, users_from_items
from jaxrec.data.text_files import GivenText, read_text_files
from jaxrec.data.text_shuffle import dealt_rows
from jaxrec.data.text_sources import read_texts
from jaxrec.errors import UserError

__all__ = ["TextFeatures", "check_text", "load_text", "require_text", "users_from_items"]


def load_text(
    config: TextConfig, dataset: Dataset, cache: str | None = None, notice: Callable[[str], None] = lambda _: None
) -> TextFeatures | None:
    """The text features that the config asks for, or None where it asks for none or (`auto`) there are none.

    A user's text is built from items and own reviews of the training part only (LMMRec Eq. 1). cache: folder of
    prepared data (data.cache), where encoded texts are kept. notice: told what takes time, one line each.

    Raises: UserError where the config contradicts itself, a file is missing or does not fit the dataset.
    """
    check_text(config)
    if config.source == "none":
        return None
    if config.path is not None:
        return _align_given(read_text_files(config.path), dataset, config)
    texts = read_texts(config, dataset)
    if texts is None or not any(text.strip() for text in texts.item):
        if config.source == "auto" and config.encoder is None:
            return None
        raise UserError(
            f'text.source: "{"tfidf" if config.encoder is None else "encoder"}", but data set {dataset.name} has no '
            "item text; allowed: --text.path DIR, an item_text.jsonl in the data folder, or --model.text-source learned"
        )
    if config.encoder is not None:
        from jaxrec.data.text_encoder import encoder_features

        return encoder_features(config, dataset, texts, cache, notice)
    from jaxrec.data.text_tfidf import tfidf_features

    return tfidf_features(config, dataset, texts)


def check_text(config: TextConfig) -> None:
    """Raise UserError for settings that contradict each other, whatever the data."""
    for field in ("dim", "min_df", "truncate_dim", "review_chars"):
        value = getattr(config, field)
        if value is not None and value < 1:
            raise UserError(f"text.{field}: found {value}, allowed: 1 or more")
    if config.reviews < 0:
        raise UserError(f"text.reviews: found {config.reviews}, allowed: 0 (none) or more")
    if config.reviews and config.path is not None:
        raise UserError(f"text.reviews: found {config.reviews} beside text.path {config.path}, allowed: one of them")
    if config.path is not None and config.encoder is not None:
        raise UserError(f"text.encoder: found {config.encoder} beside text.path {config.path}, allowed: one of them")
    sources = (("path", config.path, "given"), ("encoder", config.encoder, "encoder"))
    for field, value, source in sources:
        if value is not None and config.source not in ("auto", source):
            raise UserError(
                f"text.source: found {config.source} beside text.{field} {value}, allowed: auto or {source}"
            )
    for field, value, source in sources:
        if value is None and config.source == source:
            raise UserError(f"text.source: found {source} without text.{field}, allowed: --text.{field} DIR, or auto")
    if config.truncate_dim is not None and config.path is None and config.encoder is None:
        raise UserError(
            f"text.truncate_dim: found {config.truncate_dim} without text.path or text.encoder, allowed: text.dim, "
            "which is the width of TF-IDF vectors"
        )


def require_text(features: TextFeatures | None, model_name: str) -> TextFeatures:
    """The features themselves.

    Raises: UserError where there are none, naming the ways to get some.
    """
    if features is None:
        raise UserError(
            f"model {model_name} needs text features and found none; give --text.path DIR, or put item_text.jsonl "
            "into the folder that data.path names (--text.source tfidf)"
        )
    return features


def _align_given(given: GivenText, dataset: Dataset, config: TextConfig) -> TextFeatures:
    """Given rows brought into the order of the dataset's ids; users from their training items where not given."""
    truncate_dim = config.truncate_dim
    built_on = given.manifest.get("dataset_sha256")
    kind = "user texts" if given.user is not None else "reviews" if given.manifest.get("reviews") else None
    # Noise is added to training alone, and reviews move no row: texts of the same split without either know nothing of
    # test.
    if kind is not None and built_on is not None and built_on not in sha256s_of_split(dataset):
        raise UserError(
            f"{given.path}: its {kind} are of another data set or split (dataset_sha256 {str(built_on)[:12]}), "
            f"so they may tell of test items; this one is {dataset.sha256[:12]}"
        )
    item, item_mask = given.item.align(dataset.items, "items")
    item, item_mask = truncated(item, item_mask, truncate_dim)
    if config.shuffle:
        item = item[dealt_rows(item_mask)]
    if given.user is not None:
        user, user_mask = truncated(*given.user.align(dataset.users, "users"), truncate_dim)
        if config.shuffle:
            user = user[dealt_rows(user_mask)]
    else:
        user, user_mask = users_from_items(item, item_mask, dataset)
    sha256, manifest = given.sha256, given.manifest
    if given.user is not None:
        # One file of tensors has no manifest that would say so.
        manifest = {"user": given.user.path.name} | manifest
    if truncate_dim is not None:
        sha256 = hashlib.sha256(json.dumps(["truncated 1", sha256, truncate_dim]).encode()).hexdigest()
        manifest = manifest | {"truncate_dim": truncate_dim}
    if config.shuffle:
        sha256 = hashlib.sha256(json.dumps(["shuffled 1", sha256]).encode()).hexdigest()
        manifest = manifest | {"shuffle": True}
    return TextFeatures(user, item, user_mask, item_mask, "given", sha256, manifest)
