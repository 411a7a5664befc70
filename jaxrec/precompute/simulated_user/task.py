"""What an agent is told of a user: who they are, what they had, and the candidates; from the training part alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.item_words import ItemWords
from jaxrec.data.profiles.behaviour import ACCEPTANCE, ACTIVITY, POPULARITY
from jaxrec.data.profiles.table import Profiles
from jaxrec.data.stable_hash import user_hashes
from jaxrec.precompute.simulated_user.candidates import Candidates
from jaxrec.precompute.simulated_user.names import unique_names
from jaxrec.precompute.untrusted_text import clean_text

NAME_CHARS = 80
_NAMES = (
    "Alex", "Ari", "Avery", "Blake", "Casey", "Charlie", "Dana", "Drew", "Eden", "Ellis", "Finley", "Frankie",
    "Harper", "Jamie", "Jess", "Jordan", "Kai", "Kim", "Lee", "Logan", "Morgan", "Nico", "Noor", "Parker", "Quinn",
    "Reese", "Riley", "Robin", "Rowan", "Sam", "Sasha", "Skyler", "Taylor", "Toni", "Val", "Yuri",
)  # fmt: skip
_NAME_SEED = 31
_NUM_INTERESTS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """One user. items, raw_items: [C] candidates, best first; names: of each, told apart.

    memory: (name, rating or None), in sequence. traits: field -> category, as in profiles. interests: categories, most
    frequent first. overlap: [C] how much of each candidate belongs to what the user chose before, for the rule that
    stands in for a model.
    """

    user: int
    raw_user: str
    called: str
    items: np.ndarray
    raw_items: tuple[str, ...]
    names: tuple[str, ...]
    memory: tuple[tuple[str, float | None], ...]
    traits: dict[str, str]
    interests: tuple[str, ...]
    overlap: np.ndarray

    def profile(self, template: str, things: str) -> str:
        """Template 1 of the paper, without the parts that nothing is known about."""
        traits = self.traits
        details = [traits[field] for field in ("age",) if field in traits]
        details += [f"lives in {traits['location']}"] if "location" in traits else []
        details += [f"works/studies as {traits['occupation']}"] if "occupation" in traits else []
        known = {
            "gender": traits.get("gender", ""),
            "name": self.called,
            "details": ", ".join(details),
            "behavior_patterns": _behavior(traits, things),
            "interests": ", ".join(self.interests) or "some",
            "things": things,
        }
        return " ".join(_fill(template, known).replace(" ()", "").split())


def make_tasks(
    dataset: Dataset, candidates: Candidates, words: ItemWords, profiles: Profiles, memory_items: int
) -> list[Task]:
    """One a list of candidates, in their order."""
    train = dataset.train
    raw_items = dataset.items.raw
    titles = [clean_text(title, NAME_CHARS) for title in words.titles]
    times = train.timestamps if train.timestamps is not None else np.zeros(len(train), np.int64)
    rows = np.lexsort((np.arange(len(train)), times, train.user_ids))
    starts = np.searchsorted(train.user_ids[rows], np.arange(dataset.num_users + 1))
    categories, shares = words.shares()
    called = user_hashes(train, _NAME_SEED) % np.uint64(len(_NAMES))
    tasks = []
    for user, listed in zip(candidates.user_ids.tolist(), candidates.item_ids, strict=True):
        items = listed[listed >= 0]
        mine = rows[starts[user] : starts[user + 1]]
        liked = shares[np.unique(train.item_ids[mine])].sum(axis=0)
        often = [place for place in np.argsort(-liked, kind="stable")[:_NUM_INTERESTS].tolist() if liked[place] > 0]
        latest = mine[len(mine) - min(memory_items, len(mine)) :]
        tasks.append(
            Task(
                user=user,
                raw_user=str(dataset.users.raw[user]),
                called=_NAMES[int(called[user])],
                items=items,
                raw_items=tuple(raw_items[items].tolist()),
                names=unique_names([titles[item] for item in items], [_unnamed(raw_items[item]) for item in items]),
                memory=tuple(_remembered(dataset, titles, row) for row in latest.tolist()),
                traits=profiles.described(user),
                interests=tuple(categories[place] for place in often),
                overlap=shares[items] @ (liked / max(float(liked.sum()), 1.0)),
            )
        )
    return tasks


def fill(template: str, things: str, consumed: str, called: str) -> str:
    """A template of the feedback or the memory with its words put in, as one line."""
    return " ".join(_fill(template, {"things": things, "consumed": consumed, "name": called}).split())


def _fill(template: str, values: dict[str, str]) -> str:
    """Each {field} once; what a value holds is not looked at again."""
    parts = template.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, closed, rest = part.partition("}")
        if not closed or name not in values:
            raise ValueError(f"the template has no value for {{{name}}}")
        filled += [values[name], rest]
    return "".join(filled)


def _remembered(dataset: Dataset, titles: list[str], row: int) -> tuple[str, float | None]:
    item = int(dataset.train.item_ids[row])
    rating = None if dataset.train.ratings is None else float(dataset.train.ratings[row])
    name = titles[item] or _unnamed(dataset.items.raw[item])
    return name, rating if rating is not None and np.isfinite(rating) else None


def _unnamed(raw_item: object) -> str:
    return clean_text(f"item {raw_item}", NAME_CHARS)


def _behavior(traits: dict[str, str], things: str) -> str:
    said = {
        (ACTIVITY, "occasional"): "are here now and then",
        (ACTIVITY, "regular"): "are here regularly",
        (ACTIVITY, "frequent"): "are here often",
        (POPULARITY, "niche"): f"prefer lesser known {things}",
        (POPULARITY, "mixed"): f"choose well known and lesser known {things} alike",
        (POPULARITY, "mainstream"): f"prefer well known {things}",
        (ACCEPTANCE, "sticks to few kinds"): "stick to few kinds of them",
        (ACCEPTANCE, "tries some kinds"): "try some kinds of them",
        (ACCEPTANCE, "open to many kinds"): "are open to many kinds of them",
    }
    parts = [
        said[field, traits[field]] for field in (ACTIVITY, POPULARITY, ACCEPTANCE) if (field, traits.get(field)) in said
    ]
    return ", ".join(parts) or "are new here"
