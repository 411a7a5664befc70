"""What users say of themselves: MovieLens' users.dat, the sample's traits, or a table of the user's own."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.profiles.table import Columns, NumberField, field_of
from jaxrec.data.source import find_source
from jaxrec.errors import UserError

USERS_FILE = "users.dat"
_NUMBER = ":number"

# The codes of MovieLens-1M, as its README explains them.
GENDERS = {"F": "female", "M": "male"}
AGES = {
    "1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56 and over",
}  # fmt: skip
OCCUPATIONS = {
    str(code): name
    for code, name in enumerate(
        (
            "other", "academic or educator", "artist", "clerical or admin", "college or grad student",
            "customer service", "doctor or health care", "executive or managerial", "farmer", "homemaker",
            "K-12 student", "lawyer", "programmer", "retired", "sales or marketing", "scientist", "self-employed",
            "technician or engineer", "tradesman or craftsman", "unemployed", "writer",
        )
    )
}  # fmt: skip
REGIONS = {
    "0": "New England and New Jersey",
    "1": "New York, Pennsylvania and Delaware",
    "2": "Virginia, Maryland and the Carolinas",
    "3": "Florida, Georgia, Alabama, Mississippi and Tennessee",
    "4": "Ohio, Michigan, Indiana and Kentucky",
    "5": "Wisconsin, Minnesota, Iowa and the Dakotas",
    "6": "Illinois, Missouri, Kansas and Nebraska",
    "7": "Texas, Oklahoma, Louisiana and Arkansas",
    "8": "the Mountain States",
    "9": "the Pacific States",
}
"""Large areas by the first digit of a US zip code."""
_ZIP = re.compile(r"(\d)\d{4}(?:-?\d{4})?")


def read_demographics(path: str | None, config: DataConfig, dataset: Dataset) -> Columns:
    """Fields from a given file (users.dat, or CSV with a column `user`), from users.dat beside the interactions, or of
    the sample; none where there are none.

    Raises: UserError naming file and line of what cannot be read, or where no user of the data set is in the file.
    """
    if path is not None:
        file = Path(path).expanduser()
        if not file.is_file():
            raise UserError(f"profiles.demographics: {path} is no file; allowed: users.dat, or CSV with a column user")
        return _read_dat(file, dataset) if file.suffix == ".dat" else _read_csv(file, dataset)
    if dataset.source == "sample":
        return _of_sample(dataset)
    source = find_source(config)
    if source is not None and source.is_dir() and (source / USERS_FILE).is_file():
        return _read_dat(source / USERS_FILE, dataset)
    return []


def _read_dat(path: Path, dataset: Dataset) -> Columns:
    """`user::gender::age::occupation::zip` a line; what a code list does not hold is unknown only if it is empty."""
    rows: dict[str, list[str | None]] = {}
    for number, line in enumerate(_text(path).rstrip("\n").split("\n"), start=1):
        fields = line.rstrip("\r").split("::")
        if len(fields) != 5 or not fields[0].strip():
            raise UserError(f"{path}: line {number}: found {len(fields)} fields; user::gender::age::occupation::zip")
        known: list[str | None] = []
        for name, value, allowed in zip(
            ("gender", "age", "occupation"), fields[1:4], (GENDERS, AGES, OCCUPATIONS), strict=True
        ):
            if value.strip() and value.strip() not in allowed:
                raise UserError(f"{path}: line {number}: {name} {value!r}; allowed: {', '.join(allowed)}, or empty")
            known.append(allowed.get(value.strip()))
        # Zip codes are what people typed: foreign and damaged ones tell no place.
        code = _ZIP.fullmatch(fields[4].strip())
        known.append(REGIONS[code[1]] if code else None)
        if rows.setdefault(fields[0], known) is not known:
            raise UserError(f"{path}: line {number}: user {fields[0]!r} stands on an earlier line, too")
    names = ("gender", "age", "occupation", "location")
    orders = (GENDERS, AGES, OCCUPATIONS, REGIONS)
    return _aligned(path, rows, names, [list(order.values()) for order in orders], dataset)


def _read_csv(path: Path, dataset: Dataset) -> Columns:
    """A header with `user` and the fields, `NAME:number` for numbers, else categories; an empty value is unknown."""
    lines = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows: dict[str, list[str | None]] = {}
    header: list[str] = []
    try:
        for number, fields in enumerate(lines, start=1):
            if number == 1:
                header = [name.strip() for name in fields]
                if "user" not in header or len(header) < 2 or "" in header or len(set(header)) != len(header):
                    raise UserError(
                        f"{path}: line 1: found {', '.join(header)}; `user` and fields are needed, each once"
                    )
                continue
            if len(fields) != len(header):
                raise UserError(f"{path}: line {lines.line_num}: found {len(fields)} fields; {len(header)} are needed")
            row: list[str | None] = [" ".join(value.split()) or None for value in fields]
            for name, value in zip(header, row, strict=True):
                if name.endswith(_NUMBER) and value is not None and not _is_finite(value):
                    raise UserError(
                        f"{path}: line {lines.line_num}: {name.removesuffix(_NUMBER)} {value!r}; a finite number, or "
                        "empty if unknown"
                    )
            user = row.pop(header.index("user"))
            if user is None or rows.setdefault(user, row) is not row:
                raise UserError(f"{path}: line {lines.line_num}: user {user or ''!r}; each is needed once")
    except csv.Error as error:
        raise UserError(f"{path}: line {lines.line_num}: no CSV ({error})") from error
    names = [name for name in header if name != "user"]
    return _aligned(path, rows, names, [()] * len(names), dataset)


def _of_sample(dataset: Dataset) -> Columns:
    from jaxrec.data.sample import make_sample
    from jaxrec.data.sample.vocabulary import DEMOGRAPHICS

    sample = make_sample()
    places = sample.interactions.users.encode(dataset.users.raw.tolist())
    names = {"age_group": "age", "region": "location"}
    columns: Columns = []
    for trait, values in DEMOGRAPHICS.items():
        codes = sample.demographics[trait].tolist()
        said = [values[codes[place]] if place >= 0 else None for place in places.tolist()]
        columns.append(field_of(names.get(trait, trait), "sample", said, values))
    return columns


def _aligned(
    path: Path,
    rows: dict[str, list[str | None]],
    names: Sequence[str],
    orders: Sequence[Sequence[str]],
    dataset: Dataset,
) -> Columns:
    users = dataset.users.raw.tolist()
    if not any(user in rows for user in users):
        first = next(iter(rows), "none")
        raise UserError(
            f"{path}: none of its {len(rows)} users (first: {first!r}) is among the {len(users)} of the data set "
            f"(first: {users[0]!r})"
        )
    nobody: list[str | None] = [None] * len(names)
    columns: Columns = []
    for place, (name, order) in enumerate(zip(names, orders, strict=True)):
        values = [rows.get(user, nobody)[place] for user in users]
        if name.endswith(_NUMBER):
            numbers = np.array([np.nan if value is None else float(value) for value in values])
            columns.append((NumberField(name.removesuffix(_NUMBER), path.name), numbers))
        else:
            columns.append(field_of(name, path.name, values, order))
    return columns


def _is_finite(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
