"""`python -m jaxrec.recommend --run DIR --user RAW_ID -k 10`: what a finished run recommends, in the user's own ids.

`--history RAW,RAW` in place of `--user`: to a user who is not in the data, of whom that is known.
"""

from __future__ import annotations

import argparse
import csv
import json
import pathlib
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxrec.arguments import Arguments
from jaxrec.command_line import run_command
from jaxrec.errors import UserError

if TYPE_CHECKING:
    from jaxrec.ranker.told import Told
    from jaxrec.serve.recommender import Reason, Recommender, Scored

_TITLE_LENGTH = 60


def main(argv: list[str]) -> int:
    """Recommend to the given users; the exit status."""
    arguments = _parser().parse(argv)
    if not arguments.run.is_dir():
        raise UserError(f"--run {arguments.run}: no such run folder")
    if not arguments.user and not arguments.history:
        raise UserError("--user: found none, allowed: --user RAW_ID or --history RAW_ID,RAW_ID, once or more")
    notices = Console(stderr=True, highlight=False)

    from jaxrec.serve.recommender import Recommender
    from jaxrec.train.compilation_cache import enable_compilation_cache

    enable_compilation_cache()

    def notice(message: str) -> None:
        notices.print(f"jaxrec: {message}", soft_wrap=True, markup=False)

    recommender = Recommender.from_run(arguments.run, notice)
    if recommender.dataset.source == "sample":
        notice("the run was trained on the built-in sample: synthetic users and items")
    listed: list[_Listed] = []
    if arguments.user:
        for line in _notes(recommender, arguments.user):
            notice(line)
        listed += _with_what_was_told(arguments.run, recommender, _tell(recommender, arguments.user, arguments), notice)
    if arguments.history:
        histories = _histories(arguments.history, recommender.dataset.behavior_names)
        of_new = recommender.with_histories(histories)
        for line in of_new.notes:
            notice(line)
        listed += _tell(of_new, of_new.dataset.users.raw.tolist(), arguments)
    if arguments.json:
        record = {
            "schema": 1,
            "source": recommender.dataset.source,
            "users": [_as_json(recommender, one) for one in listed],
        }
        sys.stdout.write(json.dumps(record, indent=2, allow_nan=False) + "\n")
        return 0
    console = Console(highlight=False)
    for one in listed:
        _print_list(console, recommender, one)
    return 0


class _Listed(NamedTuple):
    """One user's list, and of each item why, where the model says it; or what a language model was told."""

    user: str
    found: Scored
    reasons: list[Reason] | None
    told: Told | None = None


def _with_what_was_told(
    run: pathlib.Path, recommender: Recommender, listed: list[_Listed], notice: Callable[[str], None]
) -> list[_Listed]:
    """The lists of a run that a language model ranked for, with what it was told; others as they are."""
    from jaxrec.assembly import recorded_run
    from jaxrec.rankings import reads_rankings

    model: Any = recorded_run(run)[0].model
    if not reads_rankings(model):
        return listed
    from jaxrec.ranker.told import told_of

    told = told_of(model, recommender.dataset, [one.user for one in listed])
    for one, history in zip(listed, told, strict=True):
        if history is None and not one.found:
            notice(f"user {one.user} is not among those that the language model ranked for, so the list is empty")
    return [one._replace(told=history) for one, history in zip(listed, told, strict=True)]


def _tell(recommender: Recommender, users: list[str], arguments: argparse.Namespace) -> list[_Listed]:
    """The list of each of the users."""
    lists = recommender.recommend(
        users,
        arguments.k,
        exclude_seen=not arguments.include_seen,
        unknown="popularity" if arguments.unknown_popularity else "error",
    )
    known = [place for place, user in enumerate(recommender.dataset.users.encode(users)) if user >= 0]
    reasons = recommender.reasons([users[place] for place in known], [lists[place] for place in known])
    of_user = dict(zip(known, reasons or [], strict=False))
    return [
        _Listed(user, found, of_user.get(place)) for place, (user, found) in enumerate(zip(users, lists, strict=True))
    ]


def _parser() -> Arguments:
    parser = Arguments(
        "jaxrec.recommend", "The best items for users of a finished run; items seen before are left out."
    )
    parser.add_argument("--run", required=True, metavar="DIR", type=pathlib.Path, help="run folder")
    parser.add_argument(
        "--user", default=[], action="append", metavar="RAW_ID", help="a user's id as in the data; may be given again"
    )
    parser.add_argument(
        "--history",
        default=[],
        action="append",
        metavar="RAW_ID,RAW_ID",
        help="what a user who is not in the data did, oldest first; given again, another user. Of a run of several "
        "behaviours NAME=RAW_ID,RAW_ID, once for each, of one user",
    )
    parser.add_argument("-k", type=int, default=10, help="length of a list (default: 10)")
    parser.add_argument("--include-seen", action="store_true", help="recommend items that the user has seen, too")
    parser.add_argument(
        "--unknown-popularity", action="store_true", help="give popular items to a user who is not in the data"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _histories(given: list[str], behaviors: Sequence[str]) -> list[dict[str, list[str]]]:
    """One dict of raw ids by behaviour a user; "" is the target. An id with a comma stands in double quotes."""
    read: list[tuple[str, list[str]]] = []
    for text in given:
        name, equals, rest = text.partition("=")
        behavior, ids = (name, rest) if equals and name in behaviors else ("", text)
        row = next(csv.reader([ids], skipinitialspace=True), [])
        read.append((behavior, [raw.strip() for raw in row if raw.strip()]))
    if not behaviors:
        return [{"": ids} for _, ids in read]
    one: dict[str, list[str]] = {}
    for behavior, ids in read:
        if behavior in one:
            raise UserError(
                f"--history: found {behavior or 'the behaviour that is recommended'} twice, allowed: one user, with "
                f"NAME=RAW_ID,RAW_ID once for each of {', '.join(behaviors)}"
            )
        one[behavior] = ids
    return [one]


def _notes(recommender: Recommender, users: list[str]) -> list[str]:
    """What a reader of the lists must know."""
    dataset = recommender.dataset
    notes = []
    for raw, user in zip(users, dataset.users.encode(users), strict=True):
        if user < 0:
            notes.append(f"user {raw} is not in the data: the list is of popular items")
        elif not (dataset.train.user_ids == user).any():
            notes.append(f"user {raw} has no training interaction: the model has learned nothing about them")
    return notes


def _print_list(console: Console, recommender: Recommender, listed: _Listed) -> None:
    titles = recommender.dataset.item_text
    # As text: raw ids may hold rich's brackets.
    heading = listed.user if listed.user.startswith("new user") else f"user {listed.user}"
    table = Table(title=Text(heading), title_justify="left")
    table.add_column("", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    # The text gives way where the terminal is narrow, not the item.
    room = console.width - max((len(item) for item, _ in listed.found), default=0) - 26
    if titles is not None:
        table.add_column("text")
    if listed.reasons is not None:
        table.add_column("because of", overflow="fold")
        room -= room // 2
    if listed.told is not None:
        table.add_column("retriever", justify="right", no_wrap=True)
        room -= 12
    for place, (item, score) in enumerate(listed.found, start=1):
        row = [Text(str(place)), Text(item), Text(f"{score:.4f}")]
        if titles is not None:
            row.append(Text(textwrap.shorten(_title(recommender, item), max(room, 20), placeholder="…")))
        if listed.reasons is not None:
            row.append(Text(", ".join(f"{raw} {100 * share:.0f} %" for raw, share in listed.reasons[place - 1])))
        if listed.told is not None:
            row.append(Text(str(listed.told.places[item])))
        table.add_row(*row)
    console.print(table)
    if listed.told is not None and listed.told.history:
        history = ", ".join(item + (f" ({said})" if said else "") for item, said in listed.told.history)
        console.print(Text(f"because the model was told: {history}"))


def _title(recommender: Recommender, raw_item: str) -> str:
    """Start of the item's text, as it stands in the data."""
    dataset = recommender.dataset
    if dataset.item_text is None:
        return ""
    text = " ".join(dataset.item_text[int(dataset.items.encode([raw_item])[0])].split())
    return text if len(text) <= _TITLE_LENGTH else text[: _TITLE_LENGTH - 3] + "..."


def _as_json(recommender: Recommender, listed: _Listed) -> dict[str, Any]:
    texts = recommender.dataset.item_text is not None

    def entry(place: int, item: str, score: float) -> dict[str, Any]:
        found: dict[str, Any] = {"item": item, "score": score}
        if texts:
            found["text"] = _title(recommender, item)
        if listed.reasons is not None:
            found["because_of"] = [{"item": raw, "share": round(share, 4)} for raw, share in listed.reasons[place]]
        if listed.told is not None:
            found["retriever_place"] = listed.told.places[item]
            # Scores of a list fall by one a place; the last is 1.
            found["placed_by_model"] = len(listed.told.places) - score < listed.told.num_placed
        return found

    record: dict[str, Any] = {"user": listed.user}
    if listed.told is not None:
        record["told"] = [{"item": item, "sentiment": said} for item, said in listed.told.history]
    return record | {"items": [entry(place, *scored) for place, scored in enumerate(listed.found)]}


if __name__ == "__main__":
    sys.exit(run_command(main))
