"""Small interactions, given and drawn."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from jaxrec.data.interactions import IdMap, Interactions

# A busy machine is no mistake of the code.
NO_DEADLINE = settings(deadline=None)


def interactions(pairs, *, times=None, ratings=None, behaviors=None, behavior_names=(), parts=None, raw=None):
    """Interactions of (user, item) pairs of integers; raw ids are u<number> and i<number> unless given."""
    users = np.asarray([user for user, _ in pairs], np.int32)
    items = np.asarray([item for _, item in pairs], np.int32)
    raw_users, raw_items = raw or (
        [f"u{n}" for n in range(int(users.max(initial=-1)) + 1)],
        [f"i{n}" for n in range(int(items.max(initial=-1)) + 1)],
    )

    def column(values, dtype):
        return None if values is None else np.asarray(values, dtype)

    return Interactions(
        users,
        items,
        IdMap(np.asarray(raw_users)),
        IdMap(np.asarray(raw_items)),
        ratings=column(ratings, np.float32),
        timestamps=column(times, np.int64),
        behaviors=column(behaviors, np.int8),
        behavior_names=behavior_names,
        parts=column(parts, np.int8),
    )


@st.composite
def drawn(draw, *, timed=None, unique=False, min_size=1, max_size=60):
    """Interactions of few users and items, so that repeats, ties and small users occur."""
    pair = st.tuples(st.integers(0, 7), st.integers(0, 7))
    pairs = draw(st.lists(pair, min_size=min_size, max_size=max_size, unique=unique))
    times = None
    if draw(st.booleans()) if timed is None else timed:
        times = draw(st.lists(st.integers(0, 9), min_size=len(pairs), max_size=len(pairs)))
    return interactions(pairs, times=times)


def raw_rows(part):
    """Rows as sorted tuples of raw ids and what else there is: a multiset to compare."""
    columns = [part.users.decode(part.user_ids).tolist(), part.items.decode(part.item_ids).tolist()]
    columns += [c.tolist() for c in (part.ratings, part.timestamps) if c is not None]
    return sorted(zip(*columns, strict=True))
