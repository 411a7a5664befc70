"""The table of a study as Markdown: numbers first, then what they mean and what they were measured on."""

from __future__ import annotations

from collections.abc import Sequence

from jaxrec.eval.significance import SIGNIFICANT, Spread
from jaxrec.studies.definition import PARTS
from jaxrec.studies.outcome import Comparison, Outcome
from jaxrec.studies.step_times import time_rows

_SAMPLE = (
    "**Built-in sample.** No data was given{columns}, so the numbers{there} are of synthetic users and items. "
    "They say that the machinery works and nothing about real data."
)
_TIME = (
    "Seconds of the steps that made the lists, all epochs and compilation included; a user: of those tuned on, and of "
    "those ranked. Rows that share a step show the seconds of the run that made it."
)


def as_markdown(outcome: Outcome, figure: str | None, further: Sequence[Outcome] = ()) -> str:
    """The whole page; figure: name of the picture beside it; further: the same runs under other protocols."""
    study = outcome.study
    blocks = [f"# {study.title}"]
    on_sample = [label for label, run in outcome.first.items() if run.result["dataset"]["source"] == "sample"]
    if on_sample:
        some = len(on_sample) < len(outcome.first)
        columns, there = (f" for {', '.join(on_sample)}", " there") if some else ("", "")
        blocks.append("> " + _SAMPLE.format(columns=columns, there=there))
    if outcome.missing:
        failed = f", {len(outcome.failures)} of them failed" if outcome.failures else ""
        blocks.append(f"> **Partial.** {len(outcome.missing)} of {outcome.num_cells} cells are missing{failed}.")
    blocks.append(_table(_main_rows(outcome)))
    blocks.append(_meaning(outcome))
    if outcome.times:
        blocks += ["## Time", _table(time_rows(study, outcome.times)), _TIME]
    if figure is not None:
        blocks.append(f"![{study.title}]({figure})")
    if outcome.comparisons:
        blocks += ["## Comparisons", _table(_comparison_rows(outcome))]
    for other in further:
        blocks += [f"## {_ranking(other)}", _table(_main_rows(other)), _meaning(other)]
        if other.comparisons:
            blocks += [f"### Comparisons, {other.ranking} ranking", _table(_comparison_rows(other))]
    lines = [line for one in (outcome, *further) for line in _column_lines(one)]
    blocks += ["## Data and protocol", _bullets(list(dict.fromkeys(lines)))]
    notes = [*dict.fromkeys(note for one in (outcome, *further) for note in one.notes)]
    notes += [f"failed: {label}: {reason}" for label, reason in outcome.failures.items()]
    notes += [f"missing: {label}" for label in outcome.missing if label not in outcome.failures]
    if notes:
        blocks += ["## Notes", _bullets(notes)]
    return "\n\n".join(blocks) + "\n"


def _main_rows(outcome: Outcome) -> list[list[str]]:
    """Header, a row a system with its improvement below it, the references."""
    study = outcome.study
    columns = [column.label for column in study.columns]
    places = [(column, metric) for column in columns for metric in study.metrics]
    single = len(columns) == 1
    rows = [["", "seeds", *(metric if single else f"{column} {metric}" for column, metric in places)]]
    for row in study.rows:
        done = [len(outcome.systems[row.label, c].runs) if (row.label, c) in outcome.systems else 0 for c in columns]
        wanted = len(study.seeds_of(row))
        seeds = f"{wanted}" if min(done) == wanted else f"{min(done)} to {max(done)} of {wanted}"
        if min(done) == max(done) < wanted:
            seeds = f"{max(done)} of {wanted}"
        rows.append([outcome.label_of(row.label), seeds, *(_cell(outcome, row.label, *place) for place in places)])
        for other in row.against:
            found = {(c.column, c.metric): c for c in outcome.comparisons if (c.row, c.against) == (row.label, other)}
            shown = [_improvement(found.get(place)) for place in places]
            rows.append([f"*improvement over {other}*", "", *shown])
        if row.published:
            values = {
                (column, metric): row.published[column][index]
                for column in columns
                if column in row.published
                for index, metric in enumerate(study.metrics)
            }
            shown = [f"{values[place]:.4f}" if place in values else "" for place in places]
            rows.append([f"*{row.label}, as published*", "", *shown])
    for words, held in outcome.references_by_ranking().items():
        for name in dict.fromkeys(name for references in held.values() for name in references):
            values = [held.get(column, {}).get(name, {}).get(metric) for column, metric in places]
            label = f"*{name}, {words}*" if words else f"*{name}*"
            rows.append([label, "", *("" if value is None else f"{value:.4f}" for value in values)])
    return rows


def _cell(outcome: Outcome, row: str, column: str, metric: str) -> str:
    """Mean and deviation; bold: the best of those that rank alike; the star: better than all it stands against."""
    system = outcome.systems.get((row, column))
    if system is None:
        return "missing"
    value = system.metrics[metric]
    star = r"\*" if outcome.starred(row, column, metric) else ""
    others = [
        outcome.systems[other, column].metrics[metric].mean
        for other in outcome.ranks_like(row, column)
        if not outcome.simulates(other)
    ]
    shown = _spread(value)
    best = len(others) > 1 and value.mean == max(others) and not outcome.simulates(row)
    return f"**{shown}**{star}" if best else shown + star


def _spread(value: Spread) -> str:
    return f"{value.mean:.4f}" if value.deviation is None else f"{value.mean:.4f} ± {value.deviation:.4f}"


def _improvement(comparison: Comparison | None) -> str:
    if comparison is None or comparison.improvement is None:
        return ""
    return f"{comparison.improvement:+.2%}"


def _ranking(outcome: Outcome) -> str:
    """Its name at the beginning of a sentence."""
    name = outcome.ranking
    return f"{name if '_' in name else name.capitalize()} ranking"


def _meaning(outcome: Outcome) -> str:
    study = outcome.study
    lines = [
        f"{_ranking(outcome)}, {PARTS[study.part]}. Seed{'s' if len(study.seeds) > 1 else ''} "
        f"{', '.join(map(str, study.seeds))}"
        + ("; mean ± deviation over seeds (n - 1)." if len(study.seeds) > 1 else "; one seed has no deviation.")
    ]
    if len(study.rows) > 1:
        simulated = any(outcome.simulates(row.label) for row in study.rows)
        several = {""} != set(outcome.references_by_ranking() or [""])
        alike = " among rows that rank the same candidates of the same users" if several else ""
        lines.append(f"Bold: the best of a column{alike}" + (", simulations apart." if simulated else "."))
    if any(row.against for row in study.rows):
        sizes = {sum(c.metric == metric for c in outcome.comparisons) for metric in study.metrics}
        lines.append(
            r"\*: better than each row that it is tested against; two-sided paired t-test over users of the means "
            f"over seeds, p < {SIGNIFICANT} after Holm's correction over the comparisons of one metric "
            f"({max(sizes)} here)."
        )
    return " ".join(lines)


def _comparison_rows(outcome: Outcome) -> list[list[str]]:
    single = len(outcome.study.columns) == 1
    head = ["comparison", *([] if single else ["column"]), "metric", "improvement", "t-test p", "Holm p", "Wilcoxon p"]
    rows = [[*head, ""]]
    for c in outcome.comparisons:
        where = [] if single else [c.column]
        verdict = "better" if c.better else "worse" if c.worse else ""
        values = [_p(c.t_test), _p(c.holm), _p(c.wilcoxon)]
        rows.append(
            [
                f"{outcome.label_of(c.row)} against {outcome.label_of(c.against)}",
                *where,
                c.metric,
                _improvement(c),
                *values,
                verdict,
            ]
        )
    return rows


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2g}" if value > 0 else "< 1e-300"  # float64 knows nothing smaller


def _column_lines(outcome: Outcome) -> list[str]:
    """What was measured on, columns of one kind together."""
    columns: dict[str, list[str]] = {}
    texts = []
    for column in outcome.study.columns:
        if column.label not in outcome.first:
            continue
        run = outcome.first[column.label]
        data, protocol = run.result["dataset"], outcome.protocol(column.label)
        sizes = data["num_interactions"]
        source = "built-in sample" if data["source"] == "sample" else data["name"]
        measured = (
            f"{source}, {data['num_users']:,} users, {data['num_items']:,} items, "
            f"{sizes['train']:,} / {sizes['valid']:,} / {sizes['test']:,} interactions (train / valid / test), sha256 "
            f"{data['sha256'][:12]}; {protocol['num_users']:,} users ranked ({outcome.ranking_of(column.label)}), "
            f"k {', '.join(map(str, protocol['k']))}, "
            f"masked: {', '.join(protocol['masked']) or 'nothing'}"
            + (f"; {' '.join(column.flags)}" if column.flags else "")
        )
        columns.setdefault(measured, []).append(column.label)
        texts += _text_lines(outcome, column.label)
    return [f"{', '.join(labels)}: {measured}" for measured, labels in columns.items()] + texts


def _text_lines(outcome: Outcome, column: str) -> list[str]:
    """Which text the rows of a column read, rows of one text together."""
    readers: dict[str, list[str]] = {}
    for (row, label), system in outcome.systems.items():
        run = system.runs[0]
        text = run.result.get("text")
        if label == column and text is not None:
            read = f"{text['source']}, {text['num_items']:,} items with text, sha256 {text['sha256'][:12]}"
            readers.setdefault(read, []).append(row)
        elif label == column and run.config.get("model", {}).get("text_source") == "learned":
            readers.setdefault("none; learned vectors stand in its place", []).append(row)
    return [f"{column}, text of {', '.join(rows)}: {read}" for read, rows in readers.items()]


def _table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *body))


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
