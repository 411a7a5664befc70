"""`python -m jaxrec.recommend --run DIR --user RAW_ID -k 10`: what a finished run recommends, in the user's own ids.

`--history RAW,RAW` in place of `--user`: to a user who is not in the data, of whom that is known.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console

from jaxrec.arguments import Arguments
from jaxrec.command_line import run_command
from jaxrec.errors import UserError

if TYPE_CHECKING:
    from jaxrec.serve.listing import Listed
    from jaxrec.serve.recommender import Recommender


def main(argv: list[str]) -> int:
    """Recommend to the given users; the exit status."""
    arguments = _parser().parse(argv)
    if not arguments.run.is_dir():
        raise UserError(f"--run {arguments.run}: no such run folder")
    if not arguments.user and not arguments.history:
        raise UserError("--user: found none, allowed: --user RAW_ID or --history RAW_ID,RAW_ID, once or more")
    notices = Console(stderr=True, highlight=False)

    from jaxrec.serve.listing import as_json, print_list
    from jaxrec.serve.recommender import Recommender
    from jaxrec.train.compilation_cache import enable_compilation_cache

    enable_compilation_cache()

    def notice(message: str) -> None:
        notices.print(f"jaxrec: {message}", soft_wrap=True, markup=False)

    if arguments.retriever is not None and not (arguments.history and _ranked_by(arguments.run) is not None):
        raise UserError(f"--retriever: found {arguments.retriever}, allowed: with --history, of a run of SEALR or PALR")
    recommender = Recommender.from_run(arguments.run, notice)
    if recommender.dataset.source == "sample":
        notice("the run was trained on the built-in sample: synthetic users and items")
    listed: list[Listed] = []
    if arguments.user:
        for line in _notes(recommender, arguments.user):
            notice(line)
        listed += _with_what_was_told(arguments.run, recommender, _tell(recommender, arguments.user, arguments), notice)
    if arguments.history:
        listed += _of_new_users(recommender, arguments, notice)
    if arguments.json:
        record = {
            "schema": 1,
            "source": recommender.dataset.source,
            "users": [as_json(recommender.dataset, one) for one in listed],
        }
        sys.stdout.write(json.dumps(record, indent=2, allow_nan=False) + "\n")
        return 0
    console = Console(highlight=False)
    for one in listed:
        print_list(console, recommender.dataset, one)
    return 0


def _with_what_was_told(
    run: pathlib.Path, recommender: Recommender, listed: list[Listed], notice: Callable[[str], None]
) -> list[Listed]:
    """The lists of a run that a language model ranked for, with what it was told; others as they are."""
    model = _ranked_by(run)
    if model is None:
        return listed
    from jaxrec.ranker.told import told_of

    told = told_of(model, recommender.dataset, [one.user for one in listed])
    for one, history in zip(listed, told, strict=True):
        if history is None and not one.found:
            notice(f"user {one.user} is not among those that the language model ranked for, so the list is empty")
    return [dataclasses.replace(one, told=history) for one, history in zip(listed, told, strict=True)]


def _of_new_users(
    recommender: Recommender, arguments: argparse.Namespace, notice: Callable[[str], None]
) -> list[Listed]:
    """The list of each history."""
    from jaxrec.serve.given_histories import read_histories

    histories = read_histories(arguments.history, recommender.dataset.behavior_names)
    if _ranked_by(arguments.run) is not None:
        from jaxrec.ranker.unseen_users import rank_unseen

        recommender.check_k(arguments.k)
        seen = not arguments.include_seen
        return rank_unseen(
            arguments.run, recommender.dataset, histories, arguments.k, notice, arguments.retriever, seen
        )
    of_new = recommender.with_histories(histories)
    for line in of_new.notes:
        notice(line)
    return _tell(of_new, of_new.dataset.users.raw.tolist(), arguments)


def _ranked_by(run: pathlib.Path) -> Any:
    """The model's config of a run whose lists a language model has ranked; None of others."""
    from jaxrec.assembly import recorded_run
    from jaxrec.rankings import reads_rankings

    model = recorded_run(run)[0].model
    return model if reads_rankings(model) else None


def _tell(recommender: Recommender, users: list[str], arguments: argparse.Namespace) -> list[Listed]:
    """The list of each of the users."""
    from jaxrec.serve.listing import Listed

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
        Listed(user, found, of_user.get(place)) for place, (user, found) in enumerate(zip(users, lists, strict=True))
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
        "behaviours NAME=RAW_ID,RAW_ID, once for each, of one user. SEALR is told what the user thought of an item by "
        "its rating, RAW_ID:5; of an item without one, neutral",
    )
    parser.add_argument(
        "--retriever",
        metavar="DIR",
        type=pathlib.Path,
        help="with --history of a run of SEALR or PALR: the run that chose its candidates, where it has been moved",
    )
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
    for raw, user in zip(users, dataset.users.encode(users), strict=True):
        if user < 0:
            notes.append(f"user {raw} is not in the data: the list is of popular items")
        elif not (dataset.train.user_ids == user).any():
            notes.append(f"user {raw} has no training interaction: the model has learned nothing about them")
    return notes


if __name__ == "__main__":
    sys.exit(run_command(main, among_others="first"))
