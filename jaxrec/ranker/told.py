"""What a language model was told of a user, and what it did with the candidates: all that it can say of why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.eval.pools import candidates_folder, read_pools
from jaxrec.eval.rankings import read_rankings
from jaxrec.precompute.sentiment.files import read_labels
from jaxrec.ranker.examples import rows_in_order, sentiment_text
from jaxrec.ranker.folders import needed_folder
from jaxrec.serve.listing import Told


def told_of(model: Any, dataset: Dataset, raw_user_ids: Sequence[str]) -> list[Told | None]:
    """For each user; None of one without a list. model: the config of a run of SEALR or PALR.

    Raises: UserError where the folders that the lists were made from are gone, damaged or of another data set.
    """
    folder = Path(model.rankings)
    rankings, pools = read_rankings(model.rankings, dataset), read_pools(candidates_folder(model.rankings), dataset)
    labels = (
        read_labels(needed_folder(folder, "sentiment"), dataset)["train"].sentiment if model.prompt.sentiment else None
    )
    rows, indptr = rows_in_order(dataset.train, dataset.num_users)
    found: list[Told | None] = []
    for user in dataset.users.encode(raw_user_ids).tolist():
        place = np.flatnonzero(rankings.user_ids == user)
        if not len(place):
            found.append(None)
            continue
        mine = rows[max(indptr[user], indptr[user + 1] - model.prompt.history) : indptr[user + 1]]
        items = dataset.items.decode(dataset.train.item_ids[mine]).tolist()
        said = [None] * len(items) if labels is None else [sentiment_text(label) for label in labels[mine].tolist()]
        pool = pools.of_users(np.array([user], np.int32)).item_ids[0]
        raw = dataset.items.decode(pool[pool >= 0]).tolist()
        history = tuple(zip(map(str, items), said, strict=True))
        order = {str(item): number for number, item in enumerate(raw, start=1)}
        found.append(Told(history, order, int(rankings.num_ranked[place[0]])))
    return found
