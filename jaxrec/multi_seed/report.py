"""What a run of several seeds says when it ends."""

from __future__ import annotations

import pathlib
import shlex
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from jaxrec.report import describe_protocol, print_sample_banner


def print_seeds_result(console: Console, result: dict[str, Any], folder: pathlib.Path) -> None:
    """Means with deviation and interval beside the references, then each seed, where it lies and what to do next."""
    for protocol, record in result["protocols"].items():
        what = f"{describe_protocol(protocol, record, result)}; means of {len(result['seeds'])} seeds ± deviation"
        console.print(f"{result['name']}: {what}", soft_wrap=True)
        names = ("hit", "ndcg", "mrr") if record.get("single_target") else ("recall", "ndcg", "hit", "mrr")
        console.print(_table(result, record, [f"{name}@{k}" for name in names for k in record["k"]]))
    monitor = result["monitor"]
    for run in result["runs"]:
        console.print(
            f"seed {run['seed']}: best step {run['best_step']:,} of {run['steps']:,}, {monitor} {run['valid']:.4f} "
            f"(valid), {run['test']:.4f} (test)",
            soft_wrap=True,
        )
    seconds = result["seconds"]
    console.print(
        f"{seconds['train']:.0f} s training at {result['examples_per_second']:,.0f} examples/s over all seeds, "
        f"{seconds['eval']:.0f} s evaluation, {seconds['compile']:.1f} s compiling",
        soft_wrap=True,
    )
    if result["dataset"]["source"] == "sample":
        print_sample_banner(console)
    one, user = folder / result["runs"][0]["folder"], shlex.quote(result["example_user"])
    for line in (
        f"run      {folder}",
        f"next     python -m jaxrec.recommend --run {shlex.quote(str(one))} --user {user} -k 10",
        f"         python -m jaxrec.compare {shlex.quote(str(folder))}/seed-* OTHER_RUNS",
    ):
        console.print(line, soft_wrap=True, markup=False)


def _table(result: dict[str, Any], record: dict[str, Any], metrics: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    references = {name: values for name, values in record["reference"].items() if name != result["model"]}
    for column in ("", result["model"], "±", "95 % interval", *references):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for metric in metrics:
        found = record["over_seeds"]["test"][metric]
        low, high = found["interval"]
        own = f"{found['mean']:.4f}", f"{found['deviation']:.4f}", f"{low:.4f}..{high:.4f}"
        table.add_row(metric, *own, *(f"{values[metric]:.4f}" for values in references.values()))
    return table
