"""`python -m jaxrec.refine --run RUN --agent identity|random|oracle|replay|llm --top N [--users n] [--flag value …]`.

A simulated user is shown the top 2N of a finished run and keeps N (UiM, section III-D): hit, ndcg and recall of the
test part before and after, by a paired test. Other flags are those of jaxrec.precompute, such as --backend local.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from jaxrec.arguments import Arguments
from jaxrec.command_line import OK, run_command
from jaxrec.config.flags import override
from jaxrec.eval.significance import SIGNIFICANT

PROGRAM = "python -m jaxrec.refine --run RUN [--agent A] [--top N] [--users n] [--plan]"
_LABELS = {"any_order": "any order of these", "random": "random", "popularity": "popularity"}


def main(argv: list[str]) -> int:
    """Refine one run; the exit status."""
    arguments, rest = _parser().parse_known_args(argv)

    from jaxrec.precompute.display import Display, print_plan
    from jaxrec.refinement.refine import default_config, plan_run, refine_run
    from jaxrec.train.compilation_cache import enable_compilation_cache

    config = override(default_config(arguments.run), rest, PROGRAM)
    given = {"agent": arguments.agent, "top": arguments.top, "user_limit": arguments.users}
    changed = {name: value for name, value in given.items() if value is not None}
    config = dataclasses.replace(config, simulated_user=dataclasses.replace(config.simulated_user, **changed))
    enable_compilation_cache()
    display = Display(Console(stderr=True, highlight=False))
    # In a file or a pipe nothing is folded to the width of a terminal that is not there.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    if arguments.plan:
        print_plan(console, plan_run(arguments.run, config, display))
        return OK
    print_refinement(console, refine_run(arguments.run, config, display))
    return OK


def _parser() -> Arguments:
    parser = Arguments("jaxrec.refine", "A simulated user keeps N of the top 2N of a finished run.")
    parser.epilog = "Every flag of jaxrec.precompute is one here, such as --backend local --local.checkpoint DIR."
    parser.add_argument("--run", required=True, metavar="DIR", type=pathlib.Path, help="run folder")
    parser.add_argument(
        "--agent",
        choices=("identity", "random", "oracle", "replay", "llm"),
        help="who plays the user (default: llm, the model of --backend)",
    )
    parser.add_argument("--top", type=int, help="N, how many items are kept of 2N (default: 10)")
    parser.add_argument("--users", type=int, help="so many users, a fixed random choice (default: all)")
    parser.add_argument("--plan", action="store_true", help="say what would be asked, and ask nothing")
    return parser


def print_refinement(console: Console, record: dict[str, Any]) -> None:
    """The table before and after with chance beside it, the tests, the counts and the place of the record."""
    for line in _heading(record):
        console.print(line, soft_wrap=True, markup=False)
    console.print(_table(record))
    for line in _lines(record):
        console.print(line, soft_wrap=True, markup=False)


def _heading(record: dict[str, Any]) -> list[str]:
    users = f"{record['num_users']:,} of {record['num_users_of_part']:,} users with a test target"
    lines = [
        f"{record['name']}: the top {record['candidates']} shown to {_agent(record)}, {record['top']} kept",
        f"{record['protocol']} ranking, test part, {users}; masked: {', '.join(record['masked']) or 'nothing'}",
    ]
    if record["simulation"]:
        lines.append("A SIMULATION: this agent reads what is to be predicted. It says what a good agent could do.")
    if record["dataset"]["source"] == "sample":
        lines.append("The data is the built-in sample: synthetic, so this says nothing about real data.")
    return lines


def _agent(record: dict[str, Any]) -> str:
    if record["agent"] == "llm":
        return f"the agent llm ({record['answered_by']}, template {record['template']})"
    return f"the agent {record['agent']}"


def _table(record: dict[str, Any]) -> Table:
    after = "after (simulated)" if record["simulation"] else "after"
    columns = {"before": record["before"], after: record["after"]}
    columns |= {label: record["reference"][name] for name, label in _LABELS.items()}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for metric in record["before"]:
        table.add_row(metric, *(f"{values[metric]:.4f}" for values in columns.values()))
    for metric, value in record["ceiling"].items():
        table.add_row(metric, f"{value:.4f}", *("" for _ in range(len(columns) - 1)))
    return table


def _lines(record: dict[str, Any]) -> Sequence[str]:
    counts, top = record["counts"], record["top"]
    lines = [f"hit@{record['candidates']} before is the most that hit@{top} after can be"]
    for metric in (f"hit@{top}", f"ndcg@{top}"):
        test = record["tests"][metric]
        verdict = "a difference" if test["t_test"] < SIGNIFICANT else "no sure difference"
        lines.append(
            f"{metric}: {test['difference']:+.4f}, better for {test['better']:,} users, worse for {test['worse']:,}; "
            f"paired t-test p = {test['t_test']:.2g}, Wilcoxon p = {test['wilcoxon']:.2g}: {verdict}"
        )
    lines.append(
        f"answers: {counts['parsed']:,} of {counts['asked']:,} parsed, {counts['silent']:,} silent (their order "
        f"stays), {counts['in_another_order']:,} in another order; {counts['unknown_names']:,} unknown names, "
        f"{counts['repeated']:,} repeated, {counts['missing']:,} candidates not named"
    )
    if not record["complete"]:
        lines.append("not whole: some requests failed or were stopped; the same command asks those again")
    return [*lines, f"record   {record['path']}"]


if __name__ == "__main__":
    sys.exit(run_command(main, among_others="first"))
