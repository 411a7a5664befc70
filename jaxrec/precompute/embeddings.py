"""Step "embeddings": the summaries of motivations as vectors (LMMRec section II-A: s = LLMs_dec(F)).

By a hosted model, by a sentence encoder out of a local folder, or by TF-IDF and a truncated SVD. Written in the form
that --text.path reads: rows with their raw ids, and a mask of those that have a summary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrec.data.text_files import write_text_features
from jaxrec.errors import UserError
from jaxrec.precompute.motivations import expected_summaries, read_motivations
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Made, Step

_TFIDF_DIM = 256
KINDS = ("item", "user")


class Vectors(NamedTuple):
    """model: who made them. values: [items, width] and [users, width] float32, by kind; masks: [n] bool, by kind.

    failed: how many texts of a kind were not answered for now.
    """

    model: str
    values: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    failed: dict[str, int]
    extra: dict[str, Any]


def run(job: Job, folder: Path) -> Made:
    """Embed what the motivations say. Raises: UserError where there are none, or the source gives no vector."""
    texts = _texts(job)
    vectors = _SOURCES[_source(job)](job, texts)
    if not vectors.masks["item"].any():
        raise UserError(f"embeddings: {vectors.model} gave no vector for any of the {len(texts['item'])} items")
    dataset = job.dataset
    ids = {"item": dataset.items.raw.tolist(), "user": dataset.users.raw.tolist()}
    # A file of ids has one a line; without it, rows are those of this data set, whose hash the manifest holds.
    named = {kind: None if any(len(raw.splitlines()) > 1 for raw in ids[kind]) else ids[kind] for kind in KINDS}
    write_text_features(
        folder,
        vectors.values["item"],
        model=vectors.model,
        user=vectors.values["user"],
        item_mask=vectors.masks["item"],
        user_mask=vectors.masks["user"],
        item_ids=named["item"],
        user_ids=named["user"],
    )
    rows = {
        kind: {
            "rows": len(texts[kind]),
            "asked": sum(bool(text) for text in texts[kind]),
            "present": int(vectors.masks[kind].sum()),
            "failed": vectors.failed[kind],
        }
        for kind in KINDS
    }
    extra = {"source": _source(job), "texts": "summary"} | vectors.extra
    return Made(vectors.model, rows, not any(vectors.failed.values()), extra, launch_flag="--text.path")


def plan(job: Job) -> Plan:
    """What `run` would ask, with summaries like those that are kept, or typical ones, where there are none yet."""
    if job.inputs.get("motivations") is None:
        texts = expected_summaries(job)
    else:
        found = _texts(job)
        texts = [text for kind in KINDS for text in found[kind] if text]
    if _source(job) != "openai":
        return Plan(requests=len(texts), untimed=_source(job) == "encoder")
    return job.plan_embedding(texts, job.config.embeddings.dim)


def identity(job: Job) -> dict[str, Any]:
    """The source, its settings and its model."""
    config, source = job.config.embeddings, _source(job)
    if source == "openai":
        return {"source": source, "model": job.config.openai.embedding_model, "dim": config.dim}
    if source == "encoder":
        from jaxrec.data.sentence_encoder import read_encoder

        return {"source": source, "encoder": read_encoder(config.encoder or "").sha256}
    return {"source": source, "dim": config.dim or _TFIDF_DIM, "min_df": config.min_df}


def _source(job: Job) -> str:
    config = job.config.embeddings
    if config.source != "auto":
        return config.source
    if config.encoder is not None:
        return "encoder"
    return "openai" if job.config.backend in ("openai", "replay") else "tfidf"


def _texts(job: Job) -> dict[str, list[str]]:
    """One text a row of the data set, "" where there is no summary."""
    folder = job.inputs["motivations"]
    if folder is None:
        raise ValueError("step embeddings runs after step motivations")
    texts = {}
    for kind, raw in (("item", job.dataset.items.raw), ("user", job.dataset.users.raw)):
        said = read_motivations(folder, kind)
        texts[kind] = [said[one]["summary"].strip() if one in said else "" for one in raw.tolist()]
    return texts


def _hosted(job: Job, texts: dict[str, list[str]]) -> Vectors:
    number = len(texts["item"])
    embedded = job.embed([*texts["item"], *texts["user"]], job.config.embeddings.dim)
    if not embedded.present.any() and embedded.failures:
        reason = next(iter(embedded.failures.values())).reason
        raise UserError(f"embeddings: none of {len(embedded.failures)} texts got a vector: {reason}")
    # What counts as missing stays so; the rest is asked again by the next run.
    again = [row for row, failure in embedded.failures.items() if failure.kind != "missing"]
    failed = {"item": sum(row < number for row in again), "user": sum(row >= number for row in again)}
    values = {"item": embedded.values[:number], "user": embedded.values[number:]}
    masks = {"item": embedded.present[:number], "user": embedded.present[number:]}
    return Vectors(job.config.openai.embedding_model, values, masks, failed, {})


def _encoded(job: Job, texts: dict[str, list[str]]) -> Vectors:
    from jaxrec.data.sentence_encoder import read_encoder
    from jaxrec.data.text_encoder import encode_cached

    encoder = read_encoder(job.config.embeddings.encoder or "")
    distinct = sorted({text for kind in KINDS for text in texts[kind] if text})
    place = {text: row for row, text in enumerate(distinct)}
    found = encode_cached(encoder, distinct, job.config.data.cache, job.notice)
    padded = np.concatenate([found, np.zeros((1, encoder.width), np.float32)])
    values = {kind: padded[[place.get(text, -1) for text in texts[kind]]] for kind in KINDS}
    masks = {kind: _worded(texts[kind]) for kind in KINDS}
    return Vectors(encoder.folder.resolve().name, values, masks, _none(), {"encoder_sha256": encoder.sha256})


def _tfidf(job: Job, texts: dict[str, list[str]]) -> Vectors:
    from jaxrec.data.text_tfidf import fit_words

    config = job.config.embeddings
    space = fit_words(texts["item"], config.dim or _TFIDF_DIM, config.min_df, "item summaries", "embeddings.min_df")
    user, user_mask = space.project(texts["user"])
    values, masks = {"item": space.vectors, "user": user}, {"item": space.mask, "user": user_mask}
    return Vectors("tfidf", values, masks, _none(), {"min_df": config.min_df, "num_words": space.num_words})


def _worded(texts: Sequence[str]) -> np.ndarray:
    return np.array([bool(text) for text in texts], bool)


def _none() -> dict[str, int]:
    return dict.fromkeys(KINDS, 0)


_SOURCES: dict[str, Callable[[Job, dict[str, list[str]]], Vectors]] = {
    "openai": _hosted,
    "encoder": _encoded,
    "tfidf": _tfidf,
}

STEP = Step(
    name="embeddings",
    summary="the summaries of motivations as vectors of items and users",
    run=run,
    plan=plan,
    identity=identity,
    needs=("motivations",),
)
