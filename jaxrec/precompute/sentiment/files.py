"""Sentiments on disk: `sentiment.safetensors` beside the manifest of the step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxrec.data.array_files import read_safetensors
from jaxrec.data.dataset import Dataset
from jaxrec.data.manifest import MANIFEST, check_made_of
from jaxrec.data.sample.vocabulary import SENTIMENTS
from jaxrec.data.splits import PARTS
from jaxrec.errors import UserError
from jaxrec.precompute.sentiment.labels import PartLabels

FILE = "sentiment.safetensors"


def write_labels(folder: Path, labels: dict[str, PartLabels]) -> None:
    """Tensors `<part>` [n] int8, `<part>_known` [n] uint8 (1 where it was told from something), `<part>_emotion`."""
    from safetensors.numpy import save_file

    tensors = {}
    for name, part in labels.items():
        tensors[name] = part.sentiment
        tensors[f"{name}_known"] = part.known.astype(np.uint8)
        if part.emotion is not None:
            tensors[f"{name}_emotion"] = part.emotion
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, folder / FILE)


def read_labels(folder: str | Path, dataset: Dataset) -> dict[str, PartLabels]:
    """By part, aligned to the rows of the data set that they were made of.

    A row's label comes from what its user wrote after choosing the item: of a row that is to be predicted, it must
    not be read. Raises: UserError where the folder is of another data set, or damaged.
    """
    path = Path(folder).expanduser() / FILE
    check_made_of(path.with_name(MANIFEST), dataset)
    held = read_safetensors(path)
    labels = {}
    for name in PARTS:
        number = len(getattr(dataset, name))
        for tensor in (name, f"{name}_known"):
            if tensor not in held or held[tensor].shape != (number,):
                found = "none" if tensor not in held else f"shape {list(held[tensor].shape)}"
                raise UserError(f"{path}: tensor {tensor}: found {found}; [{number}] is needed")
        if number and not 0 <= held[name].min() <= held[name].max() < len(SENTIMENTS):
            raise UserError(f"{path}: tensor {name}: class ids from 0 to {len(SENTIMENTS) - 1} are needed")
        labels[name] = PartLabels(held[name], held[f"{name}_known"].astype(bool), held.get(f"{name}_emotion"))
    return labels
