"""Step "features": vectors of items' pictures and titles, aligned to the data set's items, with masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_files import read_text_files, write_text_features
from jaxrec.data.text_sources import Texts
from jaxrec.data.text_tfidf import tfidf_features
from jaxrec.errors import UserError
from jaxrec.precompute.features.clip import PREPROCESSOR, Clip, read_clip
from jaxrec.precompute.features.config import FeaturesConfig
from jaxrec.precompute.features.pictures import (
    BadPicture,
    find_pictures,
    pictures_sha256,
    read_picture,
    read_preparation,
)
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Made, Step

_VERSION = 1
"""Raised when the same settings come to give other vectors."""
_TFIDF_DIM = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """vectors: [I, D] float32, zero where the mask [I] is False. model: who made them. bad: pictures left out."""

    vectors: np.ndarray
    mask: np.ndarray
    model: str
    bad: int = 0


def image_source(config: FeaturesConfig, dataset: Dataset) -> str | None:
    """Where vectors of pictures come from; None where there are none to be had."""
    if config.image_vectors is not None:
        return "given"
    if config.images is not None:
        return "clip"
    return "sample" if dataset.source == "sample" else None


def text_source(config: FeaturesConfig, dataset: Dataset) -> str | None:
    """Where vectors of titles come from; None where there are none to be had."""
    if config.text_vectors is not None:
        return "given"
    if dataset.item_text is not None and config.clip is not None:
        return "clip"
    if dataset.source == "sample":
        return "sample"
    return None if dataset.item_text is None else "tfidf"


def _identity(job: Job) -> Any:
    config, dataset = job.config.features, job.dataset
    image, text = image_source(config, dataset), text_source(config, dataset)
    what: dict[str, Any] = {"version": _VERSION, "image": image, "text": text}
    if "clip" in (image, text):
        what["clip_sha256"] = read_clip(str(config.clip)).sha256
    if image == "clip":
        what |= {
            "pictures": pictures_sha256(find_pictures(str(config.images), dataset.items)),
            "bad": config.on_bad_image,
        }
    for kind, path in (("image", config.image_vectors), ("text", config.text_vectors)):
        what[f"given_{kind}"] = None if path is None else read_text_files(path).sha256
    return what


def _run(job: Job, folder: Path) -> Made:
    config, dataset = job.config.features, job.dataset
    sources = {"image": image_source(config, dataset), "text": text_source(config, dataset)}
    clip = Clip(read_clip(str(config.clip))) if "clip" in sources.values() else None
    rows: dict[str, dict[str, int]] = {}
    models: dict[str, str] = {}
    for kind, source in sources.items():
        if source is None:
            job.notice(f"features: no {kind} vectors: nothing to make them from")
            continue
        features = _make(job, kind, source, clip)
        if not features.mask.any():
            raise UserError(f"features: no item of data set {dataset.name} has {kind} vectors from {source}")
        write_text_features(
            folder / kind,
            features.vectors,
            model=features.model,
            item_mask=features.mask,
            item_ids=dataset.items.raw.tolist(),
            extra={"kind": kind, "source": source, "dataset_sha256": dataset.sha256},
        )
        rows[kind] = {"rows": len(features.mask), "present": int(features.mask.sum()), "bad": features.bad}
        models[kind] = features.model
    if not rows:
        raise UserError(
            f"features: data set {dataset.name} has neither texts nor given vectors; "
            "allowed: --features.text-vectors, --features.image-vectors, or --features.clip with --features.images"
        )
    model = "; ".join(f"{kind}: {name}" for kind, name in models.items())
    return Made(model=model, rows=rows, extra={"sources": sources, "folders": sorted(rows)})


def _make(job: Job, kind: str, source: str, clip: Clip | None) -> Features:
    config, dataset = job.config.features, job.dataset
    if source == "given":
        given = read_text_files(str(config.image_vectors if kind == "image" else config.text_vectors))
        vectors, mask = given.item.align(dataset.items, "items")
        return Features(vectors, mask, str(given.manifest.get("model", given.path.name)))
    if source == "sample":
        return _of_sample(dataset, kind)
    if clip is None:
        texts = Texts(dataset.item_text or ())
        features = tfidf_features(TextConfig(dim=_TFIDF_DIM), dataset, texts)
        return Features(features.item, features.item_mask, "tfidf")
    name = f"{Path(str(config.clip)).name} (CLIP)"
    if kind == "text":
        return _spread(dataset, *_titles(dataset, clip), name)
    return _images(job, clip, name)


def _titles(dataset: Dataset, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    texts = dataset.item_text or ()
    worded = np.flatnonzero([bool(text.strip()) for text in texts])
    return worded, clip.texts([texts[row] for row in worded])


def _images(job: Job, clip: Clip, name: str) -> Features:
    config, dataset = job.config.features, job.dataset
    model = read_clip(str(config.clip))
    preparation = read_preparation(model.folder / PREPROCESSOR, model.vision["image_size"])
    found = find_pictures(str(config.images), dataset.items)
    whole: list[int] = []

    def pictures() -> Iterator[np.ndarray]:
        for place, path in sorted(found.items()):
            try:
                picture = read_picture(path, preparation)
            except BadPicture as error:
                if config.on_bad_image == "error":
                    raise UserError(
                        f"{path}: no whole picture ({error}); --features.on-bad-image skip leaves it out"
                    ) from error
                continue
            whole.append(place)
            yield picture

    vectors = clip.images(pictures())
    bad = len(found) - len(whole)
    if bad:
        job.notice(f"features: {bad:,} of {len(found):,} pictures are damaged and left out")
    return dataclasses.replace(_spread(dataset, np.array(whole, np.int64), vectors, name), bad=bad)


def _of_sample(dataset: Dataset, kind: str) -> Features:
    from jaxrec.data.sample import make_sample

    sample = make_sample()
    vectors = sample.image_vectors if kind == "image" else sample.text_vectors
    places = sample.interactions.items.encode(dataset.items.raw.tolist())
    return _spread(dataset, np.flatnonzero(places >= 0), vectors[places[places >= 0]], "sample")


def _spread(dataset: Dataset, rows: np.ndarray, found: np.ndarray, model: str) -> Features:
    vectors = np.zeros((dataset.num_items, found.shape[1]), np.float32)
    mask = np.zeros(dataset.num_items, bool)
    vectors[rows], mask[rows] = found, True
    return Features(vectors, mask, model)


STEP = Step(
    name="features",
    summary="vectors of items' pictures and titles: CLIP, given ones, or what needs no model (M3BSR)",
    run=_run,
    plan=lambda job: Plan(),
    identity=_identity,
)
