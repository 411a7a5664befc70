"""`python -m jaxrec.explain --run RUN --user RAW_ID [--user …] [--refinement FILE] --out DIR`: why a user is told what.

For each user the interests, what they are made of and what they bring, the weights of the profile, and what a simulated
user said: as explanation.json and as explanation.html, one page without any other file.
"""

from __future__ import annotations

import pathlib
import sys

from rich.console import Console

from jaxrec.arguments import Arguments
from jaxrec.command_line import OK, run_command


def main(argv: list[str]) -> int:
    """Explain users of one run; the exit status."""
    arguments = _parser().parse(argv)
    notices = Console(stderr=True, highlight=False)

    from jaxrec.assembly import load_run
    from jaxrec.explanation.agent import Refinement
    from jaxrec.explanation.users import explain_users, write_explanation
    from jaxrec.train.compilation_cache import enable_compilation_cache

    enable_compilation_cache()

    def notice(message: str) -> None:
        notices.print(f"jaxrec: {message}", soft_wrap=True, markup=False)

    run = load_run(arguments.run, notice)
    refinement = None
    if arguments.refinement is not None:
        refinement = Refinement(arguments.refinement, arguments.run, run.result["config_hash"])
    users = list(dict.fromkeys(arguments.user))
    explanation = explain_users(run, users, arguments.top, refinement)
    for user in explanation["users"]:
        if refinement is not None and user["agent"] is None:
            notice(f"user {user['user']} was not among those whom the agent was asked about")
    files = write_explanation(arguments.out, explanation)
    Console(highlight=False).print("\n".join(str(file) for file in files), soft_wrap=True, markup=False)
    return OK


def _parser() -> Arguments:
    parser = Arguments("jaxrec.explain", "Interests, profile weights and recommendations of users of a finished run.")
    parser.add_argument("--run", required=True, metavar="DIR", type=pathlib.Path, help="run folder")
    parser.add_argument("--user", required=True, action="append", metavar="RAW_ID", help="a user's id as in the data")
    parser.add_argument("--refinement", metavar="FILE", type=pathlib.Path, help="a record of jaxrec.refine of this run")
    parser.add_argument("--top", type=int, default=10, help="recommendations without a refinement (default: 10)")
    parser.add_argument("--out", required=True, metavar="DIR", type=pathlib.Path, help="where it is written")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main, among_others="first"))
