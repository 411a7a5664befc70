"""Kuaishou's User Interest Modeling Challenge (2018): which videos users clicked, liked and whose makers they followed.

`train_interaction.txt` has tabs and no header: user, photo (the video), three flags, and the time, whose unit and start
are not published, so that only its order counts. A row without a flag (shown and passed over) is no event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.interactions import IdMap
from jaxrec.data.readers.blocks import read_blocks
from jaxrec.data.readers.delimited import Layout, read_delimited
from jaxrec.data.readers.metadata import ItemMetadata
from jaxrec.data.readers.problems import MAX_EXAMPLES, BadRows, Problem, shown
from jaxrec.errors import UserError

FLAGS = ("click", "like", "follow")
_INTERACTIONS = Layout(
    names=("user_id", "photo_id", *FLAGS, "time", "playing_time", "duration_time"),
    columns={"user": 0, "item": 1, "click": 2, "like": 3, "follow": 4, "timestamp": 5},
    separator="\t",
    has_header=False,
)
_ROW = re.compile(rb"[^\t]+\t[^\t]+\t[01]\t[01]\t[01]\t[0-9.]+\t[0-9.]+\t[0-9.]+\r?")


def is_interactions(first_line: bytes) -> bool:
    """Whether a file holds the interactions, told from its first line."""
    return bool(_ROW.fullmatch(first_line))


def read_interactions(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """An event a flag of a row: `click`, `like`, `follow`, in this order and at one time."""
    del config
    return read_delimited(path, _INTERACTIONS, bad, _events)


def _events(split: pl.DataFrame, rows: pl.DataFrame, file: Path) -> tuple[pl.DataFrame, list[Problem], int]:
    """One row a flag that is 1, in the order of the file and then of the flags."""
    flagged = rows.join(split.select("line", *FLAGS), on="line", how="left", maintain_order="left")
    known = flagged.select(pl.all_horizontal(pl.col(flag).is_in(["0", "1"]) for flag in FLAGS)).to_series()
    problems = []
    for row in (~known).arg_true().head(MAX_EXAMPLES).to_list():
        flag = next(flag for flag in FLAGS if flagged[flag][row] not in ("0", "1"))
        line = int(flagged["line"][row])
        problems.append(Problem(file, line, shown(flagged[flag][row]), "0 or 1 is needed", flag))
    events = (
        flagged.filter(known)
        .unpivot(FLAGS, index=["user", "item", "timestamp", "line"], variable_name="behavior", value_name="flag")
        .filter(pl.col("flag") == "1")
        # Melted behaviour after behaviour: a stable sort by line leaves the flags of a line in their order.
        .sort("line", maintain_order=True)
        .select("user", "item", "timestamp", "behavior", "line")
    )
    return events, problems, int((~known).sum())


def read_cover_words(path: Path, bad: BadRows) -> Iterator[ItemMetadata]:
    """`train_text.txt`: a photo and the numbers of the words on its cover, `0` where there are none."""
    for block in read_blocks(path):
        for number, line in enumerate(block.data.decode(errors="replace").split("\n")[:-1], start=block.first_line):
            photo, tab, words = line.rstrip("\r").partition("\t")
            if not (photo and tab) or "\t" in words:
                bad.report([Problem(path, number, shown(line), "a photo, a tab and the numbers of words are needed")])
            elif words != "0":
                yield ItemMetadata(photo, description=" ".join(f"w{word}" for word in words.split(",") if word))


def read_photo_features(folder: Path, items: IdMap) -> tuple[np.ndarray, np.ndarray]:
    """The visual features of items: a file a photo, `ID` or `ID.npy`, of one vector each, as [W] or [1, W].

    Result: [I, W] float32, and [I] bool, which items have a file. Raises UserError where none has, a file is no
    vector of numbers, its width differs from the others', or a number is not finite.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; allowed: a folder with one .npy file a photo")
    features: np.ndarray | None = None
    mask = np.zeros(len(items), bool)
    for row, raw in enumerate(items.raw.tolist()):
        file = next((file for file in (folder / f"{raw}.npy", folder / raw) if file.is_file()), None)
        if file is None:
            continue
        vector = _vector(file)
        if features is None:
            features = np.zeros((len(items), len(vector)), np.float32)
        if len(vector) != features.shape[1]:
            raise UserError(f"{file}: {len(vector)} numbers, but the files before it have {features.shape[1]}")
        features[row], mask[row] = vector, True
    if features is None:
        raise UserError(f"{folder}: none of {len(items):,} items has a file there, such as {items.raw[0]}.npy")
    return features, mask


def _vector(file: Path) -> np.ndarray:
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{file}: cannot be read as .npy ({error}); a vector of numbers is needed") from None
    is_vector = values.ndim == 1 or (values.ndim == 2 and len(values) == 1)
    if not is_vector or values.size == 0 or values.dtype.kind not in "fiu":
        raise UserError(f"{file}: found {values.dtype} of shape {values.shape}; a vector of numbers is needed")
    values = values.reshape(-1).astype(np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{file}: found a number that is not finite; finite ones are needed")
    return values
