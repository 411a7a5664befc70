"""`python -m jaxrec.prepare [--config FILE] [--out DIR] [--shards DIR] [--flag value …]`: read, filter, split, say so.

The flags are those of an experiment's data, with or without `data.` in front: `--split given`, `--filter.user-core 5`.
Without `--config` they stand for themselves, with it they are laid over the data of that config.
What is prepared is kept, so that a run with the same settings starts at once. With `--shards` nothing is held in
memory whole: the folder is what training reads.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Callable

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jaxrec.command_line import run_command
from jaxrec.config import Experiment, load_config, override
from jaxrec.data.behaviors import behavior_sentences
from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.export import check_export_folder, export
from jaxrec.data.leakage import leakage_sentences
from jaxrec.data.noise import noise_sentences
from jaxrec.data.prepared import load_dataset
from jaxrec.data.published import check_published, counts_beside, published_sentence
from jaxrec.errors import UserError

_PROGRAM = "python -m jaxrec.prepare [--config FILE] [--out DIR] [--shards DIR]"
_DESCRIPTION = (
    "Read interactions, filter and split them, and say what came of it. --config FILE takes the data of an experiment. "
    "--out DIR writes the parts as CSV with raw ids, the item texts and the provenance into a new folder. "
    "--shards DIR streams interactions beyond memory into a new folder of Parquet shards, which --data.path then names."
)


@dataclasses.dataclass(frozen=True)
class _NoModel:
    """Stands where an experiment has its model: only the flags of the data are wanted."""


def main(argv: list[str]) -> int:
    """Prepare one dataset; the exit status."""
    out, rest = _take_path(argv, "--out", "a folder")
    shards, rest = _take_path(rest, "--shards", "a folder")
    config_file, rest = _take_path(rest, "--config", "a Python file, such as configs/lightgcn_yelp_small.py")
    config = _parse(rest, config_file)
    if out is not None:
        check_export_folder(out)
    notices = Console(stderr=True, highlight=False)
    if shards is not None:
        if out is not None:
            raise UserError("--shards: found with --out, allowed: one of them")
        config = _to_shards(config, shards, notices)
    dataset = _load(config, notices)
    if dataset.source == "sample":
        notices.print(
            "jaxrec: no data was given: this is the built-in sample, synthetic users and items", soft_wrap=True
        )
    print_preparation(Console(highlight=False), dataset, config.published)
    if out is not None:
        export(dataset, out)
        notices.print(f"jaxrec: written to {out}", soft_wrap=True, markup=False)
    if shards is not None:
        notices.print(f"jaxrec: written to {shards}; --data.path {shards} trains on it", soft_wrap=True, markup=False)
    return 0


def print_preparation(console: Console, dataset: Dataset, published: tuple[int, ...] = ()) -> None:
    """The steps with their counts, the parts, all of them beside the counts of a paper, and what the split leaks."""
    record = dataset.provenance
    table = Table(title=f"{dataset.name}: {record['source']['name']}", title_justify="left")
    table.add_column("step")
    for column in ("interactions", "users", "items"):
        table.add_column(column, justify="right")

    def row(label: str, counts: dict[str, int]) -> None:
        table.add_row(label, *(f"{counts[column]:,}" for column in ("interactions", "users", "items")))

    row("read", record["source"])
    for step in record["steps"]:
        row(escape(_label(step)), step["after"])
    table.add_section()
    for name, counts in record["split"]["parts"].items():
        row(name, counts)
    told = []
    if published:
        found, printed = counts_beside(dataset, published)
        table.add_section()
        row("all parts", found)
        row("as published", printed)
        told.append(published_sentence(found, printed))
    console.print(table)
    if "behaviors" in record:
        console.print(_behaviors_table(record["behaviors"]))
    told += [*_skipped(record["source"]), *behavior_sentences(record), *noise_sentences(record)]
    for line in [*told, *leakage_sentences(record["leakage"])]:
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"sha256 {dataset.sha256}", soft_wrap=True)


def _behaviors_table(record: dict) -> Table:
    """What is left of each behaviour, in the form in which papers print their data sets."""
    statistics = record["statistics"]
    table = Table(title="behaviours, after all filters", title_justify="left")
    table.add_column("behaviour")
    for column in ("events", "users", "items", "mean a user", "least", "most"):
        table.add_column(column, justify="right")
    for name, of in statistics["behaviors"].items():
        counts = (f"{of[column]:,}" for column in ("events", "users", "items"))
        ends = (f"{of[column]:,}" for column in ("least_per_user", "most_per_user"))
        table.add_row(
            escape(f"{name} = {' + '.join(record['named'][name])}"), *counts, f"{of['mean_per_user']:.2f}", *ends
        )
    table.add_section()
    counts = (f"{statistics[column]:,}" for column in ("events", "users", "items"))
    ends = (f"{statistics[column]:,}" for column in ("least_per_user", "most_per_user"))
    table.add_row("all", *counts, f"{statistics['mean_per_user']:.2f}", *ends)
    return table


def _label(step: dict) -> str:
    setting = step["setting"]
    if isinstance(setting, dict):
        return ", ".join(f"{name} {value}" for name, value in setting.items())
    return f"{step['step']} {setting}"


def _skipped(source: dict) -> list[str]:
    if not source.get("skipped_rows"):
        return []
    examples = "; ".join(source["skipped_examples"])
    return [f"{source['skipped_rows']:,} bad rows were skipped, such as {examples}"]


def _take_path(argv: list[str], flag: str, allowed: str) -> tuple[pathlib.Path | None, list[str]]:
    """Take `FLAG PATH` or `FLAG=PATH` out of argv, wherever it stands."""
    path, rest, words = None, [], iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name != flag:
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value or value.startswith("--"):
            raise UserError(f"{flag}: no value, allowed: {allowed}")
        path = pathlib.Path(value).expanduser()
    return path, rest


def _parse(argv: list[str], config_file: pathlib.Path | None) -> DataConfig:
    if any(word in ("-h", "--help") for word in argv):
        tyro.cli(DataConfig, args=["--help"], prog=_PROGRAM, description=_DESCRIPTION)
    whole = [f"--data.{word[2:]}" if _is_bare(word) else word for word in argv]
    given = DataConfig() if config_file is None else load_config(config_file).data
    try:
        config = override(Experiment(model=_NoModel(), data=given), whole).data
        check_published(config)
    except UserError as error:
        raise UserError(_bare(str(error))) from error
    named = any(word.partition("=")[0] == "--data.name" for word in whole) or config_file is not None
    if config.path is not None and not named:
        config = dataclasses.replace(config, name=pathlib.Path(config.path).name.partition(".")[0] or config.name)
    return config


def _load(config: DataConfig, notices: Console) -> Dataset:
    try:
        return load_dataset(config, _teller(notices))
    except UserError as error:
        raise UserError(_bare(str(error))) from error


def _to_shards(config: DataConfig, folder: pathlib.Path, notices: Console) -> DataConfig:
    """Write the shards; the config that reads them."""
    from jaxrec.data.shards.prepare import prepare_shards

    try:
        prepare_shards(config, folder, _teller(notices))
    except UserError as error:
        raise UserError(_bare(str(error))) from error
    return dataclasses.replace(config, path=str(folder))


def _teller(notices: Console) -> Callable[[str], None]:
    def tell(line: str) -> None:
        notices.print(f"jaxrec: {line}", soft_wrap=True, markup=False)

    return tell


def _is_bare(word: str) -> bool:
    return word.startswith("--") and not word.startswith(("--data.", "--no-data."))


def _bare(message: str) -> str:
    """Flags as this command spells them."""
    return message.replace("--data.", "--")


if __name__ == "__main__":
    sys.exit(run_command(main))
