"""One user's list as a table and as JSON: raw ids, texts, and why, where the model can say it."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxrec.data.dataset import Dataset
from jaxrec.serve.recommender import Reason, Scored

_TITLE_LENGTH = 60


@dataclasses.dataclass(frozen=True)
class Told:
    """What a language model was told of one user, in raw ids, and what it did.

    history: items, oldest first, with the sentiment that was told of each, None where none was; of a user of the data
    at most as many as the prompt's setting, which may have been cut to its token budget. places: of each candidate,
    its place in the retriever's order, from 1. num_placed: the first so many items are the model's choice, the others
    stand as the retriever has them.
    """

    history: tuple[tuple[str, str | None], ...]
    places: dict[str, int]
    num_placed: int


@dataclasses.dataclass(frozen=True)
class Listed:
    """One user's list, and of each item why, where the model says it; or what a language model was told."""

    user: str
    found: Scored
    reasons: list[Reason] | None
    told: Told | None = None


def print_list(console: Console, dataset: Dataset, listed: Listed) -> None:
    """As a table, with what was told below it."""
    # As text: raw ids may hold rich's brackets.
    heading = listed.user if listed.user.startswith("new user") else f"user {listed.user}"
    table = Table(title=Text(heading), title_justify="left")
    table.add_column("", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    # The text gives way where the terminal is narrow, not the item.
    room = console.width - max((len(item) for item, _ in listed.found), default=0) - 26
    if dataset.item_text is not None:
        table.add_column("text")
    if listed.reasons is not None:
        table.add_column("because of", overflow="fold")
        room -= room // 2
    if listed.told is not None:
        table.add_column("retriever", justify="right", no_wrap=True)
        room -= 12
    for place, (item, score) in enumerate(listed.found, start=1):
        row = [Text(str(place)), Text(item), Text(f"{score:.4f}")]
        if dataset.item_text is not None:
            row.append(Text(textwrap.shorten(title_of(dataset, item), max(room, 20), placeholder="…")))
        if listed.reasons is not None:
            row.append(Text(", ".join(f"{raw} {100 * share:.0f} %" for raw, share in listed.reasons[place - 1])))
        if listed.told is not None:
            row.append(Text(str(listed.told.places[item])))
        table.add_row(*row)
    console.print(table)
    if listed.told is not None and listed.told.history:
        console.print("because the model was told:")
        for item, said in listed.told.history:
            title = textwrap.shorten(title_of(dataset, item), max(console.width - len(item) - 24, 20), placeholder="…")
            console.print(Text("  " + "  ".join(filter(None, (item, said, title)))), soft_wrap=True)


def title_of(dataset: Dataset, raw_item: str) -> str:
    """Start of the item's text, as it stands in the data; "" of data without texts."""
    if dataset.item_text is None:
        return ""
    text = " ".join(dataset.item_text[int(dataset.items.encode([raw_item])[0])].split())
    return text if len(text) <= _TITLE_LENGTH else text[: _TITLE_LENGTH - 3] + "..."


def as_json(dataset: Dataset, listed: Listed) -> dict[str, Any]:
    """user; told, where a language model was; items with score, and what is known of each."""
    texts = dataset.item_text is not None

    def named(item: str) -> dict[str, Any]:
        return {"item": item} | ({"text": title_of(dataset, item)} if texts else {})

    def entry(place: int, item: str, score: float) -> dict[str, Any]:
        found = named(item) | {"score": score}
        if listed.reasons is not None:
            found["because_of"] = [{"item": raw, "share": round(share, 4)} for raw, share in listed.reasons[place]]
        if listed.told is not None:
            found["retriever_place"] = listed.told.places[item]
            # Scores of a list fall by one a place; the last is 1.
            found["placed_by_model"] = len(listed.told.places) - score < listed.told.num_placed
        return found

    record: dict[str, Any] = {"user": listed.user}
    if listed.told is not None:
        record["told"] = [named(item) | {"sentiment": said} for item, said in listed.told.history]
    return record | {"items": [entry(place, *scored) for place, scored in enumerate(listed.found)]}
