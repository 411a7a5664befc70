"""Step "sentiment": one of five sentiments for each interaction, and how often each occurs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.sample.vocabulary import SENTIMENTS
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.sentiment.files import write_labels
from jaxrec.precompute.sentiment.labels import (
    LEXICON_EDGES,
    histograms,
    labels_from_emotions,
    labels_from_lexicon,
    labels_from_ratings,
)
from jaxrec.precompute.sentiment.lexicon import read_lexicon
from jaxrec.precompute.sentiment.mapping import read_mapping
from jaxrec.precompute.sentiment.roberta import read_emotion_model
from jaxrec.precompute.step import Job, Made, Step

_VERSION = 1
"""Raised when the same settings come to give other labels."""


def _identity(job: Job) -> Any:
    config = job.config.sentiment
    source = config.chosen()
    what: dict[str, Any] = {"version": _VERSION, "source": source}
    if source == "goemotions":
        model = read_emotion_model(str(config.model))
        return what | {"model_sha256": model.sha256, "mapping": read_mapping(config.mapping).sha256}
    if source == "lexicon":
        return what | {"lexicon_sha256": read_lexicon(str(config.lexicon)).sha256, "edges": LEXICON_EDGES}
    return what | {"rating_scale": config.rating_scale}


def _run(job: Job, folder: Path) -> Made:
    config, dataset = job.config.sentiment, job.dataset
    source = config.chosen()
    emotions: tuple[str, ...] = ()
    extra: dict[str, Any] = {}
    if source == "goemotions":
        model, mapping = read_emotion_model(str(config.model)), read_mapping(config.mapping)
        labels = labels_from_emotions(dataset, model, mapping, job.notice)
        name, emotions = f"{model.folder.name} (RoBERTa, GoEmotions)", model.emotions
        extra = {"mapping": mapping.name, "mapping_sha256": mapping.sha256, "emotions": emotions}
    elif source == "lexicon":
        labels = labels_from_lexicon(dataset, read_lexicon(str(config.lexicon)))
        name = "lexicon (VADER's words and rules, no emotion model)"
    else:
        labels = labels_from_ratings(dataset, *config.rating_scale)
        name = "rating (no text was read)"
    write_labels(folder, labels)
    report = histograms(labels, emotions)
    known = {part: int(held.known.sum()) for part, held in labels.items()}
    total = sum(len(held.known) for held in labels.values())
    for part, counts in report.items():
        shown = ", ".join(f"{name} {count:,}" for name, count in counts["sentiments"].items())
        job.notice(f"sentiment of {part}: {shown}; {counts['unknown']:,} without a sign of it, taken as neutral")
    if source == "goemotions":
        sums = np.sum([list(counts["emotions"].values()) for counts in report.values()], axis=0)
        often = np.argsort(-sums, kind="stable")[:5]
        job.notice("most frequent emotions: " + ", ".join(f"{emotions[place]} {sums[place]:,}" for place in often))
    return Made(
        model=name,
        rows={"interaction": {"rows": total, "present": sum(known.values())}},
        extra={
            "source": source,
            "read_sha256": dataset.sha256,
            "sentiments": SENTIMENTS,
            "histograms": report,
            **extra,
        },
    )


STEP = Step(
    name="sentiment",
    summary="one of five sentiments for each interaction, from its review or its rating (SEALR)",
    run=_run,
    plan=lambda job: Plan(),
    identity=_identity,
)
