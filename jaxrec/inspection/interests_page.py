"""Interests of a run as figures in JSON, as a page and as a picture."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from jaxrec.assembly import LoadedRun
from jaxrec.figures import COLOURS, new_figure, save_png
from jaxrec.inspection.interests import InterestReadings
from jaxrec.inspection.planted_interests import favoured, field_records, own_items, purities
from jaxrec.run_folder import read_json

_BOUNDS = ("purity", "chance", "single", "k_means_learned", "k_means_planted", "best")
_TOLD = {
    "motivation": "the item's main motivation",
    "served": "a motivation that the item serves",
    "reason": "the reason of the favor",
    "reason shown": "the same, where the item serves it",
    "theme": "the item's main theme",
}


def inspect_interests(run: LoadedRun, readings: InterestReadings, folder: pathlib.Path) -> dict[str, Any]:
    """All figures of a run as JSON. Those against planted truth are of the built-in sample alone.

    entropy: of an item's shares over interests, as a share of the most that it could be: 1 where routing decides
    nothing. sizes: the interests' shares of items. winners: different interests behind a user's best items, a mean.
    """
    real, num_interests = readings.real, readings.coupling.shape[-1]
    shares = readings.coupling[real]
    most = np.log(num_interests) if num_interests > 1 else 1.0
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(-1).mean() / most
    gates = readings.item_gates[real]
    record: dict[str, Any] = {
        "model": run.experiment.model.name,
        "num_users": len(readings.users),
        "num_items_read": int(real.sum()),
        "num_interests": num_interests,
        "entropy": float(entropy),
        "sizes": (np.bincount(readings.groups[real], minlength=num_interests) / max(real.sum(), 1)).tolist(),
        "winners": float(np.mean([len(set(row)) for row in readings.winners.tolist()])),
        "item_gates": {"mean": float(gates.mean()), "deviation": float(gates.std())},
        "field_gates": dict(zip(readings.fields, readings.field_gates.mean(0).T.tolist(), strict=True)),
        "moved": dict(zip(readings.fields, readings.moved.mean(0).tolist(), strict=True)),
        "agents": agents(folder),
    }
    if run.dataset.source == "sample":
        record["purity"] = purities(run.dataset, readings)
        if readings.fields:
            held = run.assembly.profiles
            record["fields"] = field_records(run.dataset, readings, {} if held is None else held.codes)
            record["favoured"] = favoured(readings, record["fields"])
            record["own_items"] = own_items(run.dataset, readings)
    return record


def agents(folder: pathlib.Path) -> list[dict[str, Any]]:
    """What simulated users did to the run's lists, by the records of jaxrec.refine in its folder."""
    records = []
    for path in sorted(folder.glob("refinement-*.json")):
        found = read_json(path)
        told = {name: found[name] for name in ("agent", "simulation", "top", "protocol", "num_users")}
        names = [f"{metric}@{found['top']}" for metric in ("hit", "ndcg")]
        figures = {
            name: {"before": found["before"][name], "after": found["after"][name]}
            | {"t_test": found["tests"][name]["t_test"]}
            for name in names
        }
        records.append(told | {"metrics": figures})
    return records


def interests_as_markdown(record: dict[str, Any]) -> str:
    """A run's figures as a page."""
    sizes = ", ".join(f"{share:.2f}" for share in record["sizes"])
    lines = [
        f"## {record['run']}",
        "",
        f"{record['num_interests']} interests of {record['num_users']:,} users with {record['num_items_read']:,} items "
        f"before the test part. Shares of items: {sizes}; entropy of an item's shares {record['entropy']:.3f} of 1; "
        f"{record['winners']:.2f} different interests behind a user's best items.",
    ]
    if "purity" in record:
        lines += ["", "An item belongs to the interest with its largest share; purity is the share of items that agree"]
        lines += ["with most of their interest's items of that user. Synthetic data: the built-in sample.", ""]
        bounds = "chance | one group | k-means learned | k-means planted | best"
        lines += [f"| agreeing in | items | purity | {bounds} | reached |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
        for found in record["purity"]:
            figures = " | ".join(f"{found[name]:.3f}" for name in _BOUNDS)
            reached = "" if found["reached"] is None else f"{found['reached']:.2f}"
            lines.append(f"| {_TOLD[found['label']]} | {found['num_items']:,} | {figures} | {reached} |")
    if "fields" in record:
        lines += ["", "| field | planted as | tells (nats) | gate | interests move |", "|---|---|---:|---:|---:|"]
        for found in record["fields"]:
            tells = "" if found["tells"] is None else f"{found['tells']:.3f}"
            row = f"| {found['field']} | {found['kind']} | {tells} | {found['gate']:.3f} | {found['moved']:.3f} |"
            lines.append(row)
        lines += ["", "| mean of fields | traits | mined | traits above | p |", "|---|---:|---:|---:|---:|"]
        lines += [
            f"| {found['measure']} | {found['trait']:.3f} | {found['mined']:.3f} | {found['share_of_users']:.2f} | "
            f"{found['t_test']:.2g} |"
            for found in record["favoured"]
        ]
        own = record["own_items"]
        if own["num_users"]:
            lines += ["", f"Weight of items that serve a motivation of the user {own['own']:.3f}, of others "]
            lines[-1] += f"{own['other']:.3f} ({own['num_users']:,} users, p = {own['t_test']:.2g})."
    elif record["field_gates"]:
        lines += ["", "| field | gate | interests move |", "|---|---:|---:|"]
        for name, gates in record["field_gates"].items():
            lines.append(f"| {name} | {np.mean(gates):.3f} | {record['moved'][name]:.3f} |")
    if record["agents"]:
        lines += ["", "| agent | ranking | users | metric | before | after | p |", "|---|---|---:|---|---:|---:|---:|"]
        lines += [
            f"| {agent['agent']}{' (a simulation)' if agent['simulation'] else ''} | {agent['protocol']} | "
            f"{agent['num_users']:,} | {name} | {found['before']:.4f} | {found['after']:.4f} | {found['t_test']:.2g} |"
            for agent in record["agents"]
            for name, found in agent["metrics"].items()
        ]
    return "\n".join([*lines, ""])


def draw_interests(record: dict[str, Any], path: pathlib.Path) -> bool:
    """Purity beside its bounds, and gates by field and interest; False where there is nothing to draw.

    Raises ImportError where matplotlib is missing.
    """
    panels = [name for name in ("purity", "field_gates") if record.get(name)]
    if not panels:
        return False
    canvas, axes = new_figure(len(panels))
    for name, axis in zip(panels, axes, strict=True):
        (_draw_purity if name == "purity" else _draw_gates)(record, axis)
    save_png(canvas, path)
    return True


def _draw_purity(record: dict[str, Any], axis: Any) -> None:
    shown = {"chance": "chance", "purity": "interests", "k_means_planted": "k-means, planted", "best": "best split"}
    colours = {"chance": "#BBBBBB", "purity": COLOURS[0], "k_means_planted": COLOURS[4], "best": COLOURS[2]}
    for offset, (name, label) in enumerate(shown.items()):
        places = np.arange(len(record["purity"])) + (offset - 1.5) * 0.2
        axis.bar(places, [found[name] for found in record["purity"]], 0.2, label=label, color=colours[name])
    axis.set_xticks(range(len(record["purity"])), [found["label"] for found in record["purity"]], fontsize=8)
    axis.set_ylim(0, 1)
    axis.set_ylabel("purity")
    axis.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.0)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _draw_gates(record: dict[str, Any], axis: Any) -> None:
    names = list(record["field_gates"])
    gates = np.array([record["field_gates"][name] for name in names])
    image = axis.imshow(gates, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
    axis.set_xticks(range(gates.shape[1]), [str(number + 1) for number in range(gates.shape[1])])
    axis.set_xlabel("interest")
    for row, column in np.ndindex(*gates.shape):
        ink = "white" if gates[row, column] > 0.6 else "black"
        axis.text(column, row, f"{gates[row, column]:.2f}", ha="center", va="center", fontsize=8, color=ink)
    axis.figure.colorbar(image, ax=axis, label="gate")
