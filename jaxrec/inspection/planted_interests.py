"""Interests held against what the built-in sample plants: why users take things, what things are, who users are.

Planted are each user's motivations (one to three of ten), each item's (one or two), and behind each favor one of the
user's own, the reason; it is one that the item serves, too, where there is such a one. Themes of items are planted in
the same way, but there are more of them than interests. Four traits of users are drawn under their motivations; income
follows from two of these; the other fields are thirds of what was done.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.sample import Sample, make_sample
from jaxrec.eval.significance import paired_t_test
from jaxrec.inspection.interests import InterestReadings
from jaxrec.inspection.purity import k_means, purity

LABELS = ("motivation", "served", "reason", "reason shown", "theme")
"""What a group may have in common, for each item: its main motivation; any that it serves; the reason of the favor;
the same of the favors alone whose item serves the reason (the others cannot be told from the item); its main theme."""
TRAITS = ("gender", "age", "occupation", "location")
"""Fields of the sample that are drawn under the motivations of users, by the names that profiles give them."""
_SHUFFLES = 20


def purities(dataset: Dataset, readings: InterestReadings) -> list[dict[str, Any]]:
    """A record for each of LABELS: purity of the interests' items, chance, bounds, and of k-means on vectors of items.

    k_means_planted: on the items' planted weights of motivations (or themes); k_means_learned: on the model's own.
    reached: how far purity is on the way from chance to k_means_planted, what can be told without labels.
    """
    sample = make_sample()
    num_groups = readings.coupling.shape[-1]
    planted = {"motivation": sample.truth.item_motivations, "theme": sample.truth.taste.item_themes}
    rows = sample.interactions.items.encode(dataset.items.raw)
    weights = {name: readings.of_items(values[rows]) for name, values in planted.items()}
    learned = k_means(readings.of_items(readings.items), readings.real, num_groups)
    ideal = {name: k_means(values, readings.real, num_groups) for name, values in weights.items()}
    reasons = favor_reasons(sample, dataset, readings)
    num_motivations = planted["motivation"].shape[1]
    reason = _one_hot(np.maximum(reasons, 0), num_motivations) & (reasons >= 0)[..., None]
    served = weights["motivation"] > 0
    shown = readings.real & (reason & served).any(-1)
    labels = {
        "motivation": _one_hot(weights["motivation"].argmax(-1), num_motivations),
        "served": served,
        "reason": reason,
        "reason shown": reason,
        "theme": _one_hot(weights["theme"].argmax(-1), planted["theme"].shape[1]),
    }
    records = []
    for name in LABELS:
        counted = {"reason": readings.real & (reasons >= 0), "reason shown": shown}.get(name, readings.real)

        def of(groups: np.ndarray, counted: np.ndarray = counted, name: str = name) -> Any:
            return purity(np.where(counted, groups, -1), labels[name], num_groups)

        record = {"label": name, **of(readings.groups)._asdict(), "k_means_learned": of(learned).purity}
        truth = ideal["theme" if name == "theme" else "motivation"]
        record["k_means_planted"] = ideal_purity = of(truth).purity
        way = ideal_purity - record["chance"]
        records.append(record | {"reached": (record["purity"] - record["chance"]) / way if way > 0 else None})
    return records


def favor_reasons(sample: Sample, dataset: Dataset, readings: InterestReadings) -> np.ndarray:
    """[U, L] int, the motivation behind each favor of the histories; -1 where there is none."""
    num_items = len(sample.item_text)
    favors = sample.interactions
    keys = favors.user_ids.astype(np.int64) * num_items + favors.item_ids
    order = np.argsort(keys)
    users = sample.interactions.users.encode(dataset.users.raw)[readings.users].astype(np.int64)
    items = readings.of_items(sample.interactions.items.encode(dataset.items.raw))
    wanted = users[:, None] * num_items + items
    places = np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)
    found = order[places]
    known = readings.real & (keys[found] == wanted)
    return np.where(known, sample.truth.favor_reasons[found], -1)


def field_records(dataset: Dataset, readings: InterestReadings, codes: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """A record for each field: what it was planted as, what it tells, and what the model makes of it.

    kind: trait (drawn under the user's motivations), derived (from traits), mined (from what was done). tells: mutual
    information in nats with the user's main motivation, less what a field handed around would have. gate: mean weight.
    moved: by how much interests move with the field of somebody else. codes: field -> [U] of all users.
    """
    sample = make_sample()
    users = sample.interactions.users.encode(dataset.users.raw)
    main = sample.truth.user_motivations[users].argmax(1)
    records = []
    for place, name in enumerate(readings.fields):
        kind = "trait" if name in TRAITS else "derived" if name == "income" else "mined"
        records.append(
            {"field": name, "kind": kind, "tells": told_by(codes[name], main) if name in codes else None}
            | {"gate": float(readings.field_gates[..., place].mean())}
            | {"moved": float(readings.moved[:, place].mean())}
        )
    return records


def favoured(readings: InterestReadings, fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether traits weigh more than mined fields: means over users, a paired t-test over them, for gate and moved."""
    kinds = np.array([record["kind"] for record in fields])
    if not ((kinds == "trait").any() and (kinds == "mined").any()):
        return []
    records = []
    for name, values in (("gate", readings.field_gates.mean(1)), ("moved", readings.moved)):
        traits, mined = values[:, kinds == "trait"].mean(1), values[:, kinds == "mined"].mean(1)
        records.append(
            {"measure": name, "trait": float(traits.mean()), "mined": float(mined.mean())}
            | {"share_of_users": float((traits > mined).mean()), "t_test": paired_t_test(traits, mined)}
        )
    return records


def own_items(dataset: Dataset, readings: InterestReadings) -> dict[str, Any]:
    """What the profile makes of items (Eq. 4) that serve one of the user's motivations, and of the others."""
    sample = make_sample()
    users = sample.interactions.users.encode(dataset.users.raw)[readings.users]
    motivations = sample.truth.user_motivations[users] > 0
    items = readings.of_items(sample.truth.item_motivations[sample.interactions.items.encode(dataset.items.raw)])
    serves = (motivations[:, None, :] & (items > 0)).any(-1)
    own, other = readings.real & serves, readings.real & ~serves
    both = own.any(1) & other.any(1)
    means = [np.where(part, readings.item_gates, 0.0)[both].sum(1) / part[both].sum(1) for part in (own, other)]
    if not both.any():
        return {"num_users": 0}
    return {
        "num_users": int(both.sum()),
        "own": float(means[0].mean()),
        "other": float(means[1].mean()),
        "t_test": paired_t_test(means[0], means[1]),
    }


def told_by(codes: np.ndarray, labels: np.ndarray) -> float:
    """Mutual information of codes [n] and labels [n] in nats, less its mean over shuffled codes (what is chance)."""
    rng = np.random.default_rng(0)
    chance = np.mean([_information(rng.permutation(codes), labels) for _ in range(_SHUFFLES)])
    return float(_information(codes, labels) - chance)


def _information(codes: np.ndarray, labels: np.ndarray) -> float:
    joint = np.zeros((int(codes.max()) + 1, int(labels.max()) + 1))
    np.add.at(joint, (codes, labels), 1.0 / len(codes))
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    held = joint > 0
    return float((joint[held] * np.log(joint[held] / apart[held])).sum())


def _one_hot(labels: np.ndarray, width: int) -> np.ndarray:
    return labels[..., None] == np.arange(width)
