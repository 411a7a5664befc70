"""`python -m jaxrec.recommend --run DIR --user RAW_ID -k 10`: what a finished run recommends, in the user's own ids."""

from __future__ import annotations

import json
import pathlib
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxrec.arguments import Arguments
from jaxrec.command_line import run_command
from jaxrec.errors import UserError

if TYPE_CHECKING:
    from jaxrec.serve.recommender import Recommender, Scored

_TITLE_LENGTH = 60


def main(argv: list[str]) -> int:
    """Recommend to the given users; the exit status."""
    arguments = _parser().parse(argv)
    if not arguments.run.is_dir():
        raise UserError(f"--run {arguments.run}: no such run folder")
    notices = Console(stderr=True, highlight=False)

    from jaxrec.serve.recommender import Recommender
    from jaxrec.train.compilation_cache import enable_compilation_cache

    enable_compilation_cache()

    def notice(message: str) -> None:
        notices.print(f"jaxrec: {message}", soft_wrap=True, markup=False)

    recommender = Recommender.from_run(arguments.run, notice)
    lists = recommender.recommend(
        arguments.user,
        arguments.k,
        exclude_seen=not arguments.include_seen,
        unknown="popularity" if arguments.unknown_popularity else "error",
    )
    for line in _notes(recommender, arguments.user):
        notice(line)
    if arguments.json:
        sys.stdout.write(json.dumps(_as_json(recommender, arguments.user, lists), indent=2, allow_nan=False) + "\n")
        return 0
    console = Console(highlight=False)
    for user, found in zip(arguments.user, lists, strict=True):
        _print_list(console, recommender, user, found)
    return 0


def _parser() -> Arguments:
    parser = Arguments(
        "jaxrec.recommend", "The best items for users of a finished run; items seen before are left out."
    )
    parser.add_argument("--run", required=True, metavar="DIR", type=pathlib.Path, help="run folder")
    parser.add_argument("--user", required=True, action="append", metavar="RAW_ID", help="a user's id as in the data")
    parser.add_argument("-k", type=int, default=10, help="length of a list (default: 10)")
    parser.add_argument("--include-seen", action="store_true", help="recommend items that the user has seen, too")
    parser.add_argument(
        "--unknown-popularity", action="store_true", help="give popular items to a user who is not in the data"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _notes(recommender: Recommender, users: list[str]) -> list[str]:
    """What a reader of the lists must know."""
    dataset = recommender.dataset
    notes = []
    if dataset.source == "sample":
        notes.append("the run was trained on the built-in sample: synthetic users and items")
    for raw, user in zip(users, dataset.users.encode(users), strict=True):
        if user < 0:
            notes.append(f"user {raw} is not in the data: the list is of popular items")
        elif not (dataset.train.user_ids == user).any():
            notes.append(f"user {raw} has no training interaction: the model has learned nothing about them")
    return notes


def _print_list(console: Console, recommender: Recommender, user: str, found: Scored) -> None:
    titles = recommender.dataset.item_text
    table = Table(title=Text(f"user {user}"), title_justify="left")  # as text: raw ids may hold rich's brackets
    table.add_column("", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    # The text gives way where the terminal is narrow, not the item.
    room = console.width - max((len(item) for item, _ in found), default=0) - 26
    if titles is not None:
        table.add_column("text")
    for place, (item, score) in enumerate(found, start=1):
        row = [Text(str(place)), Text(item), Text(f"{score:.4f}")]
        if titles is not None:
            row.append(Text(textwrap.shorten(_title(recommender, item), max(room, 20), placeholder="…")))
        table.add_row(*row)
    console.print(table)


def _title(recommender: Recommender, raw_item: str) -> str:
    """Start of the item's text, as it stands in the data."""
    dataset = recommender.dataset
    if dataset.item_text is None:
        return ""
    text = " ".join(dataset.item_text[int(dataset.items.encode([raw_item])[0])].split())
    return text if len(text) <= _TITLE_LENGTH else text[: _TITLE_LENGTH - 3] + "..."


def _as_json(recommender: Recommender, users: list[str], lists: list[Scored]) -> dict[str, Any]:
    texts = recommender.dataset.item_text is not None

    def entry(item: str, score: float) -> dict[str, Any]:
        return {"item": item, "score": score} | ({"text": _title(recommender, item)} if texts else {})

    return {
        "schema": 1,
        "source": recommender.dataset.source,
        "users": [
            {"user": user, "items": [entry(*scored) for scored in found]}
            for user, found in zip(users, lists, strict=True)
        ],
    }


if __name__ == "__main__":
    sys.exit(run_command(main))
