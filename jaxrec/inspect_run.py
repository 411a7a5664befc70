"""`python -m jaxrec.inspect_run RUN [--beside RUN …] [--out DIR]`: what a model does inside, measured and drawn.

Of a finished run of M3BSR: what experts add to users' vectors, items' features before and behind denoising with a
figure of how compact they are, seconds per prediction; on the built-in sample also the errors to the planted truth and
what clicks by accident weigh. --beside: runs of other forms, such as an MLP for diffusion, whose features are drawn and
measured, too.
Of runs of UiM and ComiRec: which items went to which interest, what the profile weighs and what simulated users did; on
the sample how well interests agree with what was planted.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import numpy as np
from rich.console import Console

from jaxrec.arguments import Arguments
from jaxrec.command_line import OK, run_command
from jaxrec.run_folder import write_json

_KINDS = {"diffusion": "CDMD", "mlp": "an MLP", "none": "nothing"}
_OF_INTERESTS = ("uim", "comirec")
_NO_PICTURE = "jaxrec: no picture: {}; pip install 'jaxrec[plots]' brings what draws it"


def main(argv: list[str]) -> int:
    """Inspect runs; the exit status."""
    arguments = _parser().parse(argv)
    console = Console(stderr=True, highlight=False)

    from jaxrec.assembly import load_run
    from jaxrec.inspection.readings import read_run
    from jaxrec.train.compilation_cache import enable_compilation_cache

    enable_compilation_cache()
    out = arguments.out or arguments.run / "inspection"
    out.mkdir(parents=True, exist_ok=True)
    folders = [arguments.run, *(arguments.beside or [])]
    first = load_run(arguments.run)
    if first.experiment.model.name in _OF_INTERESTS:
        return _write_interests(first, folders, out, console)
    records: list[dict[str, Any]] = []
    panels: dict[str, np.ndarray] = {}
    captions: dict[str, str] = {}
    labels = None
    for place, folder in enumerate(folders):
        run = load_run(folder) if place else first
        readings = read_run(run)
        records.append(inspect(run, readings) | {"run": folder.name})
        found, labels = _panels(run, readings, with_raw=folder == folders[0])
        records[-1]["compactness"] = {title: figures for title, (_, figures) in found.items()}
        for title, (rows, figures) in found.items():
            panels[title], captions[title] = rows, _caption(figures)
    write_json(out / "inspection.json", {"schema": 1, "runs": records})
    lines = [as_markdown(record) for record in records]
    (out / "inspection.md").write_text("\n".join(lines), encoding="utf-8")
    written = ["inspection.json", "inspection.md", *_draw(records[0], panels, captions, labels, out, console)]
    sys.stdout.write("\n".join(lines))
    console.print(f"jaxrec: {', '.join(written)} in {out}", soft_wrap=True, markup=False)
    return OK


def _write_interests(first: Any, folders: list[pathlib.Path], out: pathlib.Path, console: Console) -> int:
    """interests.json, .md and .png (of the first run) of runs of models with several interests."""
    from jaxrec.assembly import load_run
    from jaxrec.inspection.interests import read_interests
    from jaxrec.inspection.interests_page import draw_interests, inspect_interests, interests_as_markdown

    records = []
    for place, folder in enumerate(folders):
        run = load_run(folder) if place else first
        records.append({"run": folder.name} | inspect_interests(run, read_interests(run), folder))
    write_json(out / "interests.json", {"schema": 1, "runs": records})
    lines = [interests_as_markdown(record) for record in records]
    (out / "interests.md").write_text("\n".join(lines), encoding="utf-8")
    written = ["interests.json", "interests.md"]
    try:
        if draw_interests(records[0], out / "interests.png"):
            written.append("interests.png")
    except ImportError as error:
        console.print(_NO_PICTURE.format(error), markup=False)
    sys.stdout.write("\n".join(lines))
    console.print(f"jaxrec: {', '.join(written)} in {out}", soft_wrap=True, markup=False)
    return OK


def _parser() -> Arguments:
    parser = Arguments("jaxrec.inspect_run", "What a finished run of M3BSR, UiM or ComiRec does inside.")
    parser.add_argument("run", metavar="RUN", type=pathlib.Path, help="run folder")
    parser.add_argument(
        "--beside", metavar="RUN", action="append", type=pathlib.Path, help="another run on the same data; repeat"
    )
    parser.add_argument("--out", metavar="DIR", type=pathlib.Path, help="where it is written (default: RUN/inspection)")
    return parser


def inspect(run: Any, readings: Any) -> dict[str, Any]:
    """All figures of a run as JSON."""
    from jaxrec.inspection.planted import accident_weights, denoising_errors

    result, config = run.result, run.experiment.model
    train = result["seconds"].get("train", 0.0)
    epochs = result["steps"] * run.experiment.train.batch_size / max(result["dataset"]["num_interactions"]["train"], 1)
    record: dict[str, Any] = {
        "modality_stage": config.modality.kind,
        "behavior_stage": config.behavior.kind,
        "experts": expert_shares(readings),
        "gate": None if readings.gate is None else float(readings.gate.mean()),
        "seconds_per_epoch": train / epochs if epochs else None,
        "seconds_per_prediction": readings.seconds_per_user,
    }
    if run.dataset.source == "sample":
        record["errors"] = denoising_errors(run, readings)
        if "click" in readings.behaviors and run.dataset.auxiliary is not None:
            record["accidents"] = accident_weights(run, readings)
    return record


def expert_shares(readings: Any) -> dict[str, float]:
    """Mean over users of each expert's share of the lengths of the summands of a user's vector."""
    if readings.summands is None:
        return {}
    lengths = np.linalg.norm(readings.summands, axis=-1)
    shares = (lengths / np.maximum(lengths.sum(1, keepdims=True), 1e-12)).mean(0)
    return dict(zip(readings.experts, shares.tolist(), strict=True))


def _panels(run: Any, readings: Any, with_raw: bool) -> tuple[dict[str, Any], np.ndarray | None]:
    """Items' features by modality, each with its figures of compactness: projected as given (raw), and the mean of what
    comes out at the items' events of the target behaviour, where the modality stage alone acts."""
    from jaxrec.inspection.compactness import compactness, within_share
    from jaxrec.inspection.planted import item_means

    target = len(readings.behaviors) - 1
    item_ids = readings.item_ids(target)
    kind = _KINDS[run.experiment.model.modality.kind]
    found, labels = {}, None
    for name in [name for name in readings.features if name != "id"]:
        items, behind = item_means(item_ids, readings.rows(readings.denoised[name], target))
        _, before = item_means(item_ids, readings.rows(readings.features[name], target))
        if run.dataset.source == "sample":
            labels = _motivations(run)[items]
        for title, rows in ((f"{name}, raw", before), (f"{name}, after {kind}", behind)):
            if title.endswith("raw") and not with_raw:
                continue
            figures = {"compactness": compactness(rows)}
            if labels is not None:
                figures["within_motivations"] = within_share(rows, labels)
            found[title] = rows, figures
    return found, labels


def _caption(figures: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())


def _motivations(run: Any) -> np.ndarray:
    """The main planted motivation of each item of the sample: [I]."""
    from jaxrec.data.sample import make_sample

    sample = make_sample()
    places = sample.interactions.items.encode(run.dataset.items.raw)
    return sample.truth.item_motivations[places].argmax(1)


def as_markdown(record: dict[str, Any]) -> str:
    """A run's figures as a page."""
    lines = [f"## {record['run']}", ""]
    lines.append(
        f"Modality stage: {record['modality_stage']}; behaviour stage: {record['behavior_stage']}. "
        f"{record['seconds_per_epoch'] or 0:.1f} s an epoch, "
        f"{1e3 * record['seconds_per_prediction']:.3f} ms a prediction."
    )
    if record["experts"]:
        lines += ["", f"Gate {record['gate']:.3f}.", "", "| expert | share |", "|---|---:|"]
        lines += [f"| {name} | {share:.3f} |" for name, share in record["experts"].items()]
    if "errors" in record:
        lines += [
            "",
            "| behaviour | modality | behind | measure | raw | denoised | ratio |",
            "|---|---|---|---|---:|---:|---:|",
        ]
        lines += [
            f"| {e['behavior']} | {e['modality']} | {e['stage']} | {e['measure']} | {e['raw']:.5f} | "
            f"{e['denoised']:.5f} | {e['ratio']:.3f} |"
            for e in record["errors"]
        ]
    if "accidents" in record:
        lines += ["", "| weight of clicks | users | by accident | real | ratio | p |", "|---|---:|---:|---:|---:|---:|"]
        lines += [
            f"| {a['measure']} | {a['num_users']} | {a['accidental']:.4f} | {a['real']:.4f} | {a['ratio']:.3f} | "
            f"{a['t_test']:.2g} |"
            for a in record["accidents"]
        ]
    lines += ["", *(f"- {title}: {_caption(figures)}" for title, figures in record["compactness"].items())]
    return "\n".join([*lines, ""])


def _draw(record: Any, panels: Any, captions: Any, labels: Any, out: pathlib.Path, console: Console) -> list[str]:
    """Write the pictures; names of what was written."""
    from jaxrec.inspection.pictures import draw_gates, draw_tsne

    written = []
    try:
        if record["experts"]:
            draw_gates(list(record["experts"]), list(record["experts"].values()), out / "experts.png")
            written.append("experts.png")
        if panels:
            draw_tsne(panels, captions, labels, out / "features.png")
            written.append("features.png")
    except ImportError as error:
        console.print(_NO_PICTURE.format(error), markup=False)
    return written


if __name__ == "__main__":
    sys.exit(run_command(main, among_others="first"))
