"""Held against the planted truth of the built-in sample: is what comes out of denoising nearer to it, and what do
clicks by accident weigh?"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrec.assembly import LoadedRun
from jaxrec.data.dataset import Dataset
from jaxrec.data.sample import CLICK, make_sample
from jaxrec.eval.significance import paired_t_test
from jaxrec.inspection.readings import Readings
from jaxrec.models.m3bsr import M3BSR

FOLDS = 5
PENALTIES = np.geomspace(1e-3, 1e4, 15)
MAX_EVENTS = 4000
"""Events of a behaviour that the linear maps are fitted and judged on; of more, a fixed random choice."""


def clean_vectors(dataset: Dataset) -> dict[str, np.ndarray]:
    """The vectors of the sample's items without their noise: modality -> [I, W] float32."""
    sample = make_sample()
    places = sample.interactions.items.encode(dataset.items.raw)
    held = {"image": sample.truth.image_vectors, "text": sample.truth.text_vectors}
    return {name: rows[places] for name, rows in held.items()}


def denoising_errors(run: LoadedRun, readings: Readings) -> list[dict[str, Any]]:
    """Mean squared errors to the truth before and behind denoising, a record for each behaviour, modality and measure.

    stage: modality, behind the stage that is to clean the features of items; both, behind behaviour denoising too,
    where a behaviour goes through it: that one is to tell what the user meant, and may well leave the item.
    own_space: both and the truth in the space that is denoised, the truth by the projection that the features go
    through. event: a linear map from the features of an event to the clean vector of its item, fitted on the events of
    four fifths of the items and judged on those of the others, five times; its ridge penalty is chosen within the four
    fifths. item: the same from the means over an item's events. Raw and denoised features have maps of their own, made
    alike.
    """
    assert isinstance(run.model, M3BSR)
    records = []
    clean = clean_vectors(run.dataset)
    for behavior, label in enumerate(readings.behaviors):
        item_ids = readings.item_ids(behavior)
        stages = {"modality": readings.modality_denoised}
        if behavior < len(readings.behaviors) - 1:
            stages["both"] = readings.denoised
        for name, truth in clean.items():
            if name not in readings.features or len(item_ids) == 0:
                continue
            target = np.asarray(run.model.project(run.params, name, jnp.asarray(truth)))[item_ids]
            before = _errors(readings.rows(readings.features[name], behavior), target, item_ids, truth)
            for stage, denoised in stages.items():
                behind = _errors(readings.rows(denoised[name], behavior), target, item_ids, truth)
                records += [
                    {"behavior": label, "modality": name, "stage": stage, "measure": measure}
                    | {"raw": before[measure], "denoised": behind[measure], "ratio": behind[measure] / before[measure]}
                    for measure in before
                ]
    return records


def _errors(rows: np.ndarray, target: np.ndarray, item_ids: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The three errors of rows [n, w] of events: to target [n, w], and by linear maps to truth[item_ids]."""
    few = np.sort(np.random.default_rng(0).permutation(len(item_ids))[:MAX_EVENTS])
    items, means = item_means(item_ids, rows)
    return {
        "own_space": _mse(rows, target),
        "event": held_out_error(rows[few], item_ids[few], truth),
        "item": held_out_error(means, items, truth),
    }


def item_means(item_ids: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Items with an event, ascending, and the means of their rows [n, w]."""
    items, places, sizes = np.unique(item_ids, return_inverse=True, return_counts=True)
    sums = np.zeros((len(items), rows.shape[1]))
    np.add.at(sums, places, rows)
    return items, sums / sizes[:, None]


def held_out_error(rows: np.ndarray, item_ids: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared error of linear maps from rows [n, w] to truth[item_ids], on items that they were not fitted on."""
    from sklearn.linear_model import RidgeCV

    items = np.unique(item_ids)
    folds = np.empty(int(items.max()) + 1, np.int64)
    folds[items] = np.random.default_rng(0).permutation(len(items)) % FOLDS
    of_row, target = folds[item_ids], truth[item_ids].astype(np.float64)
    squares = 0.0
    for fold in range(FOLDS):
        held_out = of_row == fold
        fitted = RidgeCV(PENALTIES).fit(rows[~held_out].astype(np.float64), target[~held_out])
        squares += float(np.square(fitted.predict(rows[held_out].astype(np.float64)) - target[held_out]).sum())
    return squares / target.size


def _mse(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.square(found.astype(np.float64) - wanted).mean())


def accidental_places(run: LoadedRun, readings: Readings) -> np.ndarray:
    """[U, L] bool: which events of the shallowest behaviour were clicks by accident."""
    sample, dataset = make_sample(), run.dataset
    events, clicks = sample.events, dataset.auxiliary
    assert events.behaviors is not None
    assert events.timestamps is not None
    assert clicks is not None
    assert clicks.timestamps is not None
    rows = events.behaviors == CLICK
    users, items = events.users.raw[events.user_ids[rows]], events.items.raw[events.item_ids[rows]]
    keys = zip(users.tolist(), items.tolist(), events.timestamps[rows].tolist(), strict=True)
    known = dict(zip(keys, sample.truth.accidental_clicks[rows].tolist(), strict=True))
    order = np.lexsort((clicks.timestamps, clicks.user_ids))
    length = readings.histories.shape[2]
    found = np.zeros((len(readings.users), length), bool)
    starts = np.searchsorted(clicks.user_ids[order], readings.users, "left")
    ends = np.searchsorted(clicks.user_ids[order], readings.users, "right")
    for row, (user, start, end) in enumerate(zip(readings.users, starts, ends, strict=True)):
        last = order[max(start, end - length) : end]
        shown = zip(dataset.items.raw[clicks.item_ids[last]].tolist(), clicks.timestamps[last].tolist(), strict=True)
        raw = str(dataset.users.raw[user])
        found[row, length - len(last) :] = [known[raw, item, when] for item, when in shown]
    return found


def accident_weights(run: LoadedRun, readings: Readings) -> list[dict[str, Any]]:
    """What clicks by accident weigh beside the others of the same user, means over users and a paired t-test.

    attention: the mean over the experts that read clicks; removed: how far the user's vector moves without the click.
    """
    accident, real = accidental_places(run, readings), readings.events(0)
    weights = {"removed": readings.removed}
    if readings.attention is not None:
        num_modalities = len(readings.features)
        specific = readings.attention[:, :num_modalities]
        shared = readings.attention[:, len(readings.behaviors) * num_modalities :][:, :1]
        weights["attention"] = np.concatenate([specific, shared], axis=1).mean(1)
    records = []
    both = (accident & real).any(1) & (real & ~accident).any(1)
    for name, values in weights.items():
        means = [
            np.where(mask, values, 0.0)[both].sum(1) / mask[both].sum(1) for mask in (accident & real, real & ~accident)
        ]
        records.append(
            {"measure": name, "num_users": int(both.sum()), "accidental": float(means[0].mean())}
            | {"real": float(means[1].mean()), "ratio": float(means[0].mean() / means[1].mean())}
            | {"t_test": paired_t_test(means[0], means[1])}
        )
    return records
