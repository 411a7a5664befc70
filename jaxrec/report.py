"""What a run says on the terminal when it starts and when it ends."""

from __future__ import annotations

import pathlib
import shlex
from typing import Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from jaxrec.assembly import Assembly
from jaxrec.data.leakage import leakage_sentences
from jaxrec.data.noise import noise_sentences
from jaxrec.eval.ranking_name import ranking_name
from jaxrec.result import describe_split

_SAMPLE = (
    "No data was given, so this run uses the built-in sample: synthetic users and items. Its numbers say that the "
    "machinery works and nothing about real data. Give --data.path, or set JAXREC_DATA; --data.require-real refuses "
    "the sample."
)


def print_banner(console: Console, assembly: Assembly, folder: pathlib.Path) -> None:
    """Model, data, devices and folder, before anything is compiled."""
    experiment, dataset = assembly.experiment, assembly.dataset
    if dataset.source == "sample":
        print_sample_banner(console)
    lines = (
        f"config   {experiment.name} ({assembly.hash}), {_seeds(experiment)}",
        f"model    {experiment.model.name}",
        f"data     {dataset.name if dataset.source == 'path' else 'built-in sample'}: {describe_split(dataset)}",
        *(f"noise    {sentence}" for sentence in noise_sentences(dataset.provenance)),
        *(f"leakage  {sentence}" for sentence in leakage_sentences(dataset.provenance["leakage"])),
        f"text     {describe_text(assembly)}",
        *_features_lines(assembly),
        *_profiles_lines(assembly),
        *rankings_lines(assembly),
        f"devices  {assembly.devices_line}",
        f"folder   {folder}",
    )
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def _seeds(experiment: Any) -> str:
    first, count = experiment.seed, experiment.seeds
    return f"seed {first}" if count == 1 else f"seeds {first} to {first + count - 1} in one program"


def _features_lines(assembly: Assembly) -> list[str]:
    """Which features a multimodal model reads."""
    if not getattr(assembly.experiment.model, "needs_features", False):
        return []
    features, fields = assembly.features, sorted(assembly.dataset.item_fields)
    found = [] if features is None else [
        f"{name} {rows.shape[1]} wide, of {int(features.masks[name].sum()):,} items"
        for name, rows in features.vectors.items()
    ]  # fmt: skip
    return [f"features {'; '.join([*found, *(f'field {name}' for name in fields)]) or 'none: ids alone'}"]


def _profiles_lines(assembly: Assembly) -> list[str]:
    """Which fields of users a model reads, and how many users have none."""
    if not getattr(assembly.experiment.model, "needs_profiles", False):
        return []
    profiles = assembly.profiles
    if profiles is None:
        return ["profiles none: ids alone"]
    found = [f"{name} {size - 1}" for name, size in profiles.sizes.items()]
    found += [f"{name} a number" for name in profiles.numbers]
    unknown = profiles.num_unknown
    said = f"; {unknown:,} users unknown in all of them" if unknown else ""
    unchecked = "" if profiles.checked else "; they name no dataset_sha256, so they may know of test items"
    return [f"profiles {', '.join(found)}{said}{unchecked}"]


def rankings_lines(assembly: Assembly) -> list[str]:
    """Which lists a model ranks by, which were made before."""
    lists = assembly.rankings
    if lists is None:
        return []
    placed = float(lists.num_ranked.mean()) if len(lists.num_ranked) else 0.0
    return [
        f"lists    {assembly.experiment.model.rankings}: {lists.item_ids.shape[1]} candidates of each of "
        f"{len(lists.user_ids):,} users, {placed:.1f} of them placed by the language model"
    ]


def describe_text(assembly: Assembly) -> str:
    """Which text the model reads, if any."""
    text = assembly.text
    if text is not None:
        kind = "user texts" if "user" in text.manifest else "reviews" if text.manifest.get("reviews") else None
        unchecked = kind is not None and text.manifest.get("dataset_sha256") is None
        warning = f"; its {kind} name no dataset_sha256, so they may know of test items" if unchecked else ""
        return (
            f"{text.source}, {text.item.shape[1]} wide, of {int(text.item_mask.sum()):,} items and "
            f"{int(text.user_mask.sum()):,} users{warning}"
        )
    if getattr(assembly.experiment.model, "text_source", None) == "learned":
        return "none; learned vectors stand in its place (the paper's w/o TM)"
    return "not read by this model"


def print_sample_banner(console: Console) -> None:
    """Say that the data is synthetic."""
    console.print(Panel(_SAMPLE, title="built-in sample", border_style="yellow", width=min(console.width, 100)))


def print_result(console: Console, result: dict[str, Any], folder: pathlib.Path) -> None:
    """The table with its reference rows, where the run lies and what to do next."""
    for protocol, record in result["protocols"].items():
        console.print(f"{result['name']}: {describe_protocol(protocol, record, result)}", soft_wrap=True)
        # With one target a user, recall is the hit rate.
        names = ("hit", "ndcg", "mrr") if record.get("single_target") else ("recall", "ndcg", "hit", "mrr")
        console.print(_table(result["model"], names, record["k"], record["test"], record["reference"]))
        for name, some in record.get("slices", {}).items():
            if 0 < some["num_users"] < record["num_users"] or (name == "cold_start" and some["num_users"]):
                console.print(f"of these, {some['num_users']:,} users {_describe_slice(name, some)}")
                console.print(_table(result["model"], names, record["k"], some["test"], some["reference"]))
        for line in _retriever_lines(record, result["monitor"]):
            console.print(line, soft_wrap=True, markup=False)
    seconds = result["seconds"]
    trained = (
        f"best step {result['best_step']:,} of {result['steps']:,} by validation {result['monitor']}; "
        f"{seconds['train']:.0f} s training at {result['examples_per_second']:,.0f} examples/s, "
        if result["steps"]
        else "nothing to train; "
    )
    console.print(f"{trained}{seconds['eval']:.0f} s evaluation, {seconds['compile']:.1f} s compiling", soft_wrap=True)
    if result["dataset"]["source"] == "sample":
        print_sample_banner(console)
    run, user = shlex.quote(str(folder)), shlex.quote(result["example_user"])
    for line in (
        f"run      {folder}",
        f"next     python -m jaxrec.recommend --run {run} --user {user} -k 10",
        f"         python -m jaxrec.compare {run} OTHER_RUN",
    ):
        console.print(line, soft_wrap=True, markup=False)


def describe_protocol(protocol: str, record: dict[str, Any], result: dict[str, Any]) -> str:
    """What was ranked, for whom and without what."""
    users = f"for {record['num_users']:,} users, test part"
    if protocol == "retrieved":
        reached = record["slices"]["in_pool"]["num_users"]
        pool = f"the {record['pool_size']} candidates of a retriever, which hold the target of {reached:,}"
        return f"retrieved ranking of {pool}, {users}" + ("; missing targets were put in" if record["injected"] else "")
    if protocol == "sampled99":
        return f"sampled99 ranking of one target among 99 items that the user never had, {users}"
    masked = ", ".join(record["masked"]) or "nothing"
    name, items = ranking_name(protocol, record), result["dataset"]["num_items"]
    return f"{name} ranking of {items:,} items {users}; masked: {masked}"


def _describe_slice(name: str, record: dict[str, Any]) -> str:
    return f"with at most {record['events']} events before" if name == "cold_start" else "whose pool holds the target"


def _retriever_lines(record: dict[str, Any], monitor: str) -> list[str]:
    """Of a ranking of pools: paired tests at the monitor's cut-off, and what the retriever finds among everything."""
    lines, cutoff = [], monitor.partition("@")[2]
    names = (f"hit@{cutoff}", f"ndcg@{cutoff}")
    for other, tests in record.get("paired", {}).items():
        beside = "chance" if other == "random" else "the retriever's own order"
        for name in names:
            found = tests[name]
            error, p_value = found["standard_error"], found["p_value"]
            lines.append(
                f"{name} {found['mean']:+.4f} against {beside} (standard error {error:.4f}, p = {p_value:.2g})"
            )
    full = record.get("retriever_in_full")
    if full is not None:
        values = ", ".join(f"{name} {full[name]:.4f}" for name in names if name in full)
        lines.append(f"the retriever, full ranking, the same users, validation items in their histories: {values}")
    return lines


def _table(
    model: str,
    names: tuple[str, ...],
    cutoffs: list[int],
    metrics: dict[str, float],
    reference: dict[str, dict[str, float]],
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    columns = {model: metrics} | {name: values for name, values in reference.items() if name != model}
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for metric in names:
        for k in cutoffs:
            table.add_row(f"{metric}@{k}", *(f"{values[f'{metric}@{k}']:.4f}" for values in columns.values()))
    return table
