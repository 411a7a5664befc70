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
from jaxrec.data.text_features import TextFeatures, truncated, users_from_items

_TEMPORARY = ".writing-"  # what a killed process leaves, prepared_cache clears away


def encoder_features(
    folder: str,
    dataset: Dataset,
    texts: tuple[str, ...],
    truncate_dim: int | None,
    cache: str | None,
    notice: Callable[[str], None],
) -> TextFeatures:
    """Vectors of item texts by the encoder in `folder`; users from their training items.

    cache: the data cache (data.cache). notice: told what happens, one line each. Items with equal texts are encoded
    once. Raises: UserError where the folder holds no encoder that is supported.
    """
    if len(texts) != dataset.num_items:
        raise ValueError(f"{len(texts)} item texts for {dataset.num_items} items")
    encoder = read_encoder(folder)
    item_mask = np.array([bool(text.strip()) for text in texts])
    distinct = {text: row for row, text in enumerate(dict.fromkeys(text for text in texts if text.strip()))}
    vectors = encode_cached(encoder, tuple(distinct), cache, notice)
    item = np.zeros((dataset.num_items, encoder.width), np.float32)
    item[item_mask] = vectors[[distinct[text] for text in texts if text.strip()]]
    item, item_mask = truncated(item, item_mask, truncate_dim)
    user, user_mask = users_from_items(item, item_mask, dataset)
    manifest = {
        "schema": 1,
        "model": encoder.folder.resolve().name,
        "dim": item.shape[1],
        "pooling": encoder.pooling,
        "normalize": encoder.normalize,
        "max_length": encoder.max_length,
        "truncate_dim": truncate_dim,
        "encoder_sha256": encoder.sha256,
        "dataset_sha256": dataset.sha256,
    }
    # From the inputs, not from the vectors: those differ in the last bits from machine to machine.
    recipe = ["encoded 1", encoder.sha256, truncate_dim, dataset.sha256, texts]
    sha256 = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    return TextFeatures(user, item, user_mask, item_mask, "encoder", sha256, manifest)


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
