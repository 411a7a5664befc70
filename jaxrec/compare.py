"""`python -m jaxrec.compare RUN RUN … [--metric ndcg@10]`: finished runs in one table, with deviations and a star."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxrec.arguments import Arguments
from jaxrec.command_line import run_command
from jaxrec.comparison.compare import Comparison, compare_runs
from jaxrec.comparison.curve import draw_curves
from jaxrec.errors import UserError
from jaxrec.eval.significance import SIGNIFICANT, Spread


def main(argv: list[str]) -> int:
    """Compare runs; the exit status."""
    arguments = _parser().parse(argv)
    folders = [pathlib.Path(folder) for folder in arguments.runs]
    comparison = compare_runs(folders, arguments.protocol, arguments.part, arguments.metric or ())
    if arguments.json is not None:
        _write(arguments.json, json.dumps(as_json(comparison), indent=2, allow_nan=False) + "\n")
    if arguments.curve is not None:
        draw_curves(comparison.systems, comparison.metric_names, arguments.curve)
    if arguments.markdown:
        sys.stdout.write(as_markdown(comparison))
    else:
        # In a file or a pipe nothing is folded to the width of a terminal that is not there.
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
        print_comparison(console, comparison)
    return 0


def _parser() -> Arguments:
    parser = Arguments(
        "jaxrec.compare", "Finished runs side by side; runs that differ in their seed alone are one row."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument(
        "--metric", action="append", help="such as ndcg@10; repeat for several (default: recall and ndcg)"
    )
    parser.add_argument("--protocol", help="which ranking protocol (default: the first run's main one)")
    parser.add_argument("--part", default="test", choices=("valid", "test"), help="which part (default: test)")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write the comparison to this file, too")
    parser.add_argument("--curve", metavar="FILE", type=pathlib.Path, help="draw the validation curves into this PNG")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    return parser


def print_comparison(console: Console, comparison: Comparison) -> None:
    """The table, what the star means, the tests and the notes."""
    table = Table(title=f"{comparison.part} part, {comparison.ranking} ranking", title_justify="left")
    header, *rows = _cells(comparison)
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    for line in _lines(comparison):
        console.print(line, soft_wrap=True, markup=False)


def as_markdown(comparison: Comparison) -> str:
    """The same as a Markdown table with the lines below it."""
    header, *rows = _cells(comparison)
    rule = ["---", *["---:"] * (len(header) - 1)]
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]
    told = [f"{comparison.part} part, {comparison.ranking} ranking", *_lines(comparison)]
    return "\n".join([*lines, "", *(f"- {line}" for line in told)]) + "\n"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The same as JSON, schema 1."""
    return {
        "schema": 1,
        "protocol": comparison.protocol,
        "ranking": comparison.ranking,
        "part": comparison.part,
        "systems": {
            system.name: {
                "seeds": list(system.seeds),
                "runs": [str(run.folder) for run in system.runs],
                "metrics": {name: value._asdict() for name, value in system.metrics.items()},
            }
            for system in comparison.systems
        },
        "reference": {
            label: {name: values[name] for name in comparison.metric_names if name in values}
            for label, values in comparison.references.items()
        },
        "best": comparison.best,
        "starred": sorted(comparison.starred),
        "tests": {
            metric: {name: test.__dict__ for name, test in others.items()}
            for metric, others in comparison.tests.items()
        },
        "notes": list(comparison.notes),
    }


def _cells(comparison: Comparison) -> list[list[str]]:
    """Header, one row a system, and the references."""
    rows = [["", "seeds", *comparison.metric_names]]
    for system in comparison.systems:
        values = [
            _shown(system.metrics[name]) + _star(comparison, system.name, name) for name in comparison.metric_names
        ]
        rows.append([system.name, str(len(system.runs)), *values])
    for label, metrics in comparison.references.items():
        values = [f"{metrics[name]:.4f}" if name in metrics else "-" for name in comparison.metric_names]
        rows.append([label, "", *values])
    return rows


def _shown(value: Spread) -> str:
    return f"{value.mean:.4f}" if value.deviation is None else f"{value.mean:.4f} ± {value.deviation:.4f}"


def _star(comparison: Comparison, system: str, metric: str) -> str:
    return "*" if metric in comparison.starred and comparison.best[metric] == system else ""


def _lines(comparison: Comparison) -> list[str]:
    lines = []
    if comparison.tests:
        lines.append(
            f"* better than every other system: paired t-test over users of the means over seeds, Holm's correction, "
            f"p < {SIGNIFICANT}"
        )
    for metric, others in comparison.tests.items():
        for name, test in others.items():
            lines.append(
                f"{metric}: {comparison.best[metric]} against {name}: t-test p = {test.t_test:.2g} "
                f"(Holm {test.holm:.2g}), Wilcoxon p = {test.wilcoxon:.2g}"
            )
    return [*lines, *(f"note: {note}" for note in comparison.notes)]


def _write(path: pathlib.Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise UserError(f"--json {path}: cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(run_command(main))
