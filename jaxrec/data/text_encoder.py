"""Text vectors from a sentence encoder in a local folder, kept in the data cache so that they are made once."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.prepared_cache import cache_folder
from jaxrec.data.sentence_encoder import SentenceEncoder, encode, read_encoder
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_features import TextFeatures, truncated, users_from_items, with_own_texts
from jaxrec.data.text_sources import Texts

_TEMPORARY = ".writing-"  # what a killed process leaves, prepared_cache clears away


def encoder_features(
    config: TextConfig, dataset: Dataset, texts: Texts, cache: str | None, notice: Callable[[str], None]
) -> TextFeatures:
    """Vectors of item texts by the encoder in config.encoder; users from their training items and own reviews.

    cache: the data cache (data.cache). notice: told what happens, one line each. Equal texts are encoded once.

    Raises: UserError where the folder holds no encoder that is supported.
    """
    if config.encoder is None or len(texts.item) != dataset.num_items:
        raise ValueError(f"encoder {config.encoder}, {len(texts.item)} item texts for {dataset.num_items} items")
    encoder = read_encoder(config.encoder)

    def vectors(words: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        rows, mask = _encode_rows(encoder, words, cache, notice)
        return truncated(rows, mask, config.truncate_dim)

    item, item_mask = vectors(texts.item)
    user, user_mask = users_from_items(item, item_mask, dataset)
    if texts.user is not None:
        user, user_mask = with_own_texts((user, user_mask), vectors(texts.user))
    manifest = {
        "schema": 1,
        "model": encoder.folder.resolve().name,
        "dim": item.shape[1],
        "pooling": encoder.pooling,
        "normalize": encoder.normalize,
        "max_length": encoder.max_length,
        "truncate_dim": config.truncate_dim,
        "encoder_sha256": encoder.sha256,
        "dataset_sha256": dataset.sha256,
    }
    # From the inputs, not from the vectors: those differ in the last bits from machine to machine.
    recipe = ["encoded 1", encoder.sha256, config.truncate_dim, dataset.sha256, texts.item]
    if texts.user is not None:
        manifest["reviews"] = config.reviews
        recipe.append(texts.user)
    sha256 = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    return TextFeatures(user, item, user_mask, item_mask, "encoder", sha256, manifest)


def _encode_rows(
    encoder: SentenceEncoder, texts: tuple[str, ...], cache: str | None, notice: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [n, width] float32, zero where a text is blank, and the mask [n] bool of those that are not."""
    mask = np.array([bool(text.strip()) for text in texts])
    rows = np.zeros((len(texts), encoder.width), np.float32)
    # Sorted, so that the same texts in another order (shuffled ones, too) are served by the same vectors.
    distinct = {text: row for row, text in enumerate(sorted({text for text in texts if text.strip()}))}
    if distinct:
        vectors = encode_cached(encoder, tuple(distinct), cache, notice)
        rows[mask] = vectors[[distinct[text] for text in texts if text.strip()]]
    return rows, mask


def encode_cached(
    encoder: SentenceEncoder, texts: Sequence[str], cache: str | None, notice: Callable[[str], None]
) -> np.ndarray:
    """Vectors of texts [n, width] float32, out of the data cache where they were made before.

    Raises: UserError as `encode` does; a cache that cannot be read or written is only told.
    """
    key = hashlib.sha256(json.dumps([encoder.sha256, list(texts)]).encode()).hexdigest()
    path = cache_folder(cache) / f"encoded-{key[:40]}.safetensors"
    kept = _load(path, key, (len(texts), encoder.width), notice)
    if kept is not None:
        notice(f"using encoded texts in {path}")
        return kept
    notice(f"encoding {len(texts):,} texts with {encoder.folder.resolve().name}, once: they are kept in the data cache")
    started = time.monotonic()
    vectors = encode(encoder, texts, notice)
    notice(f"encoded {len(texts):,} texts in {time.monotonic() - started:.0f} s")
    try:
        _store(path, key, vectors)
    except OSError as error:
        notice(f"{path.parent}: encoded texts cannot be kept there ({error.strerror or error}); going on without")
    return vectors


def _load(path: pathlib.Path, key: str, shape: tuple[int, int], notice: Callable[[str], None]) -> np.ndarray | None:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as held:
            made_of = held.metadata() or {}
            vectors = held.get_tensor("vectors")
    except (OSError, SafetensorError) as error:
        notice(f"{path}: encoded texts are damaged ({str(error).splitlines()[0]}); encoding them anew")
        return None
    whole = made_of.get("key") == key and made_of.get("sha256") == hashlib.sha256(vectors.tobytes()).hexdigest()
    if not whole or vectors.shape != shape or vectors.dtype != np.float32:
        notice(f"{path}: encoded texts are not what was written; encoding them anew")
        return None
    return vectors


def _store(path: pathlib.Path, key: str, vectors: np.ndarray) -> None:
    """Write beside the place and move there in one step. Raises OSError."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=path.parent))
    try:
        metadata = {"key": key, "sha256": hashlib.sha256(vectors.tobytes()).hexdigest()}
        save_file({"vectors": vectors}, temporary / path.name, metadata)
        os.replace(temporary / path.name, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
