"""A prepared dataset as plain files that any tool reads, and `--data.path` and `--data.split given` too."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile

from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import Interactions
from jaxrec.data.packed_text import PackedText
from jaxrec.data.splits import PARTS
from jaxrec.errors import UserError


def check_export_folder(folder: pathlib.Path) -> None:
    """Raise UserError unless the folder is absent or empty: nothing is written over."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--out: {folder} exists; allowed: a new or empty folder")


def export(dataset: Dataset, folder: pathlib.Path) -> None:
    """Write train.csv, valid.csv, test.csv (raw ids, header user,item[,rating][,timestamp][,behavior]), auxiliary.csv
    where there are other behaviours, item_text.jsonl where there is text, item_fields.jsonl where there are fields, and
    provenance.json; all of them or none.

    Raises UserError where the folder holds something or cannot be written.
    """
    check_export_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
        try:
            for name in PARTS:
                _write_part(getattr(dataset, name), dataset.reviews, temporary / f"{name}.csv")
            if dataset.auxiliary is not None:
                _write_part(dataset.auxiliary, None, temporary / "auxiliary.csv")
            if dataset.item_fields:
                _write_fields(dataset, temporary / "item_fields.jsonl")
            if dataset.item_text is not None:
                _write_text(dataset, temporary / "item_text.jsonl")
            record = json.dumps({"sha256": dataset.sha256} | dataset.provenance, indent=2, ensure_ascii=False)
            (temporary / "provenance.json").write_text(record + "\n", encoding="utf-8")
            temporary.chmod(0o777 & ~_umask())
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UserError(f"--out: {folder} cannot be written ({error.strerror or error})") from error


def _write_part(part: Interactions, reviews: PackedText | None, path: pathlib.Path) -> None:
    import polars

    columns = {"user": part.users.decode(part.user_ids), "item": part.items.decode(part.item_ids)}
    if part.ratings is not None:
        columns["rating"] = part.ratings
    if part.timestamps is not None:
        columns["timestamp"] = part.timestamps
    frame = polars.DataFrame(columns)
    if part.behaviors is not None:
        names = polars.Series(part.behavior_names, dtype=polars.String)
        frame = frame.with_columns(behavior=names.gather(part.behaviors.astype("uint32")))
    if part.reviews is not None and reviews is not None:
        texts = [None if row < 0 else reviews[row] for row in part.reviews.tolist()]
        frame = frame.with_columns(polars.Series("review", texts, dtype=polars.String))
    frame.write_csv(path)


def _write_text(dataset: Dataset, path: pathlib.Path) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for raw, text in zip(dataset.items.raw.tolist(), dataset.item_text or (), strict=True):
            if text:
                stream.write(json.dumps({"item": raw, "text": text}, ensure_ascii=False) + "\n")


def _write_fields(dataset: Dataset, path: pathlib.Path) -> None:
    columns = {name: values.tolist() for name, values in dataset.item_fields.items()}
    with path.open("w", encoding="utf-8") as stream:
        for raw, *values in zip(dataset.items.raw.tolist(), *columns.values(), strict=True):
            stream.write(json.dumps({"item": raw} | dict(zip(columns, values, strict=True)), ensure_ascii=False) + "\n")


def _umask() -> int:
    """What a new folder may not be; a temporary one is private, whatever the umask."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
