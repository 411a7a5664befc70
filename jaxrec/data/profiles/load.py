"""Profiles of users as models read them: from a folder, or made from the data of the experiment."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.manifest import MANIFEST, read_manifest
from jaxrec.data.profiles.build import build_profiles
from jaxrec.data.profiles.config import UserProfilesConfig, check_profiles
from jaxrec.data.profiles.files import read_profiles
from jaxrec.data.profiles.table import Profiles
from jaxrec.data.recipe import sha256s_of_split
from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class UserProfiles:
    """Aligned to the integer ids of a dataset. table: fields, categories and codes, numbers as given.

    source: "given" or "made". sha256: of all that a model reads of it; it belongs to the hash of the experiment.
    checked: it is known that nothing in it was mined from held-out parts.
    """

    table: Profiles
    source: str
    sha256: str
    checked: bool

    @property
    def codes(self) -> dict[str, np.ndarray]:
        """Categorical field -> [U] int32, 0 where unknown."""
        return {field.name: self.table.codes[:, place] for place, field in enumerate(self.table.fields)}

    @property
    def sizes(self) -> dict[str, int]:
        """Categorical field -> how many categories it has, unknown among them."""
        return {field.name: len(field.categories) for field in self.table.fields}

    @property
    def num_unknown(self) -> int:
        """Users who are unknown in every field."""
        return int((~((self.table.codes > 0).any(axis=1) | np.isfinite(self.table.numbers).any(axis=1))).sum())

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """Numeric field -> [U] float32 of mean 0 and deviation 1 over the users who have it, 0 for the others."""
        return {name: values for name, (values, _) in self._standardised().items()}

    @property
    def number_masks(self) -> dict[str, np.ndarray]:
        """Numeric field -> [U] bool, True where it is known."""
        return {name: mask for name, (_, mask) in self._standardised().items()}

    def _standardised(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        columns = zip(self.table.number_fields, self.table.numbers.T, strict=True)
        return {field.name: standardised(column) for field, column in columns}


def load_profiles(config: UserProfilesConfig, data: DataConfig, dataset: Dataset) -> UserProfiles | None:
    """The profiles that the config asks for, None where there are none.

    Raises: UserError for a folder that is damaged, knows none of the users, or was mined from another split.
    """
    check_profiles(config)
    if config.source == "none":
        return None
    if config.path is None:
        table, checked = build_profiles(data, dataset), True
    else:
        table = read_profiles(config.path, dataset.users)
        checked = _check_split(Path(config.path).expanduser(), dataset)
    if not table.fields and not table.number_fields:
        raise UserError(f"{config.path}: no field in it; at least one is needed")
    return UserProfiles(table, "made" if config.path is None else "given", _sha256(table), checked)


def standardised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers [n] less their mean, over their deviation, 0 where NaN: ([n] float32, [n] bool, True where known).

    Where all are equal, all are 0.
    """
    known = ~np.isnan(values)
    if not known.any():
        return np.zeros(len(values), np.float32), known
    # Scaled first, so that no square of a large number overflows.
    scale = max(float(np.abs(values[known]).max()), np.finfo(np.float64).tiny)
    scaled = np.where(known, values, 0.0) / scale
    deviation = scaled[known].std()
    centred = scaled - scaled[known].mean()
    # Equal numbers differ from their mean by rounding alone.
    result = centred / deviation if deviation > 1e-12 else np.zeros(len(values))
    return np.where(known, result, 0.0).astype(np.float32), known


def _check_split(folder: Path, dataset: Dataset) -> bool:
    """Whether the folder says that its history fields are of this split. Raises: UserError where it says otherwise."""
    manifest = read_manifest(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    built_on = manifest.get("dataset_sha256")
    if built_on is not None and built_on not in sha256s_of_split(dataset):
        raise UserError(
            f"{folder}: its profiles are of another data set or split (dataset_sha256 {str(built_on)[:12]}), so they "
            f"may tell of test items; this one is {dataset.sha256[:12]}"
        )
    return built_on is not None


def _sha256(table: Profiles) -> str:
    fields = [dataclasses.asdict(field) for field in (*table.fields, *table.number_fields)]
    found = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    found.update(table.codes.tobytes() + table.numbers.tobytes())
    return found.hexdigest()
