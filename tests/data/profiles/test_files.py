"""Numbers beside categories: on disk and back, and what a damaged file of either gets."""

import json

import numpy as np
import polars as pl
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.profiles.demographics import read_demographics
from jaxrec.data.profiles.files import read_profiles, write_profiles
from jaxrec.data.profiles.table import NumberField, field_of, join
from jaxrec.errors import UserError
from tests.eval.given import build_dataset


@pytest.fixture
def dataset():
    return build_dataset(4, 2, ([(0, 0), (1, 1), (2, 0), (3, 1)], [(0, 1)], [(1, 0)]))


@pytest.fixture
def table():
    height = NumberField("height", "asked"), np.asarray([1.5, np.nan, 2.0, -3.25])
    return join([field_of("city", "asked", ["Ulm", "Bonn", None, "Ulm"]), height], 4)


def test_numbers_survive_the_disk_and_strangers_are_unknown(tmp_path, dataset, table):
    write_profiles(tmp_path, table, dataset.users)
    again = read_profiles(tmp_path, dataset.users)
    assert (again.fields, again.number_fields) == (table.fields, table.number_fields)
    np.testing.assert_array_equal(again.codes, table.codes)
    np.testing.assert_array_equal(again.numbers, table.numbers)
    more = build_dataset(6, 1, ([(0, 0)], [], []))
    wider = read_profiles(tmp_path, more.users)
    assert wider.codes[4:].tolist() == [[0], [0]]
    assert np.isnan(wider.numbers[4:]).all()
    assert again.described(0) == {"city": "Ulm", "height": "1.5"}
    assert again.described(1) == {"city": "Bonn"}
    assert again.described(2) == {"height": "2"}


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("number:height", [1.0, float("nan"), 2.0, 3.0], "row 2, height: found nan; a finite number, or null"),
        ("number:height", [1.0, None, float("inf"), 3.0], "row 3, height: found inf"),
        ("number:height", ["1", "2", "3", "4"], "column number:height is String; numbers needed"),
        ("number:height", [True, False, True, True], "column number:height is Boolean; numbers needed"),
        ("field:city", [1, 2, 3, 4], "column field:city is Int64; texts needed"),
        ("field:city", ["Ulm", None, "Ulm", "Ulm"], "row 2, city: found None, which fields.json does not list"),
        ("field:city", ["Ulm", "Rome", "Ulm", "Ulm"], "row 2, city: found 'Rome', which fields.json does not list"),
        ("user", [0, 1, 2, 3], "column user is Int64; texts needed"),
        ("user", ["u0", "u1", "u0", "u3"], "row 3: user 'u0'; each is needed once"),
        ("user", ["u0", None, "u2", "u3"], "row 2: user None"),
        ("user", ["a", "b", "c", "d"], "none of its 4 users is among the 4"),
    ],
)
def test_a_wrong_column_is_named(tmp_path, dataset, table, column, values, said):
    write_profiles(tmp_path, table, dataset.users)
    file = tmp_path / "profiles.parquet"
    frame = pl.read_parquet(file)
    frame.with_columns(pl.Series(column, values)).select(frame.columns).write_parquet(file)
    with pytest.raises(UserError, match=said):
        read_profiles(tmp_path, dataset.users)


def test_whole_numbers_are_numbers_and_nothing_else_is_read(tmp_path, dataset, table):
    write_profiles(tmp_path, table, dataset.users)
    file = tmp_path / "profiles.parquet"
    frame = pl.read_parquet(file).with_columns(pl.Series("number:height", [1, None, 3, 4]))
    frame.write_parquet(file)
    np.testing.assert_array_equal(read_profiles(tmp_path, dataset.users).numbers.ravel(), [1, np.nan, 3, 4])
    frame.with_columns(pl.lit(1).alias("extra")).write_parquet(file)
    with pytest.raises(UserError, match=r"columns .*extra; .* needed, as fields.json says"):
        read_profiles(tmp_path, dataset.users)


@pytest.mark.parametrize(
    "fields",
    [
        [{"name": "city", "categories": ["Ulm", "unknown"], "source": "x"}],
        [{"name": "city", "categories": ["unknown", "Ulm", "Ulm"], "source": "x"}],
        [{"categories": ["unknown"], "source": "x"}],
        ["city"],
        {"name": "city"},
    ],
)
def test_damaged_names_of_fields_are_refused(tmp_path, dataset, table, fields):
    write_profiles(tmp_path, table, dataset.users)
    (tmp_path / "fields.json").write_text(json.dumps(fields))
    with pytest.raises(UserError, match="not a whole table of profiles"):
        read_profiles(tmp_path, dataset.users)


def test_a_table_of_the_users_own_holds_numbers(tmp_path, dataset):
    path = tmp_path / "mine.csv"
    path.write_text("user,height:number,city\nu1, 1.75 ,Ulm\nu3,,\nu2,-2e3,Bonn\n")
    found = join(read_demographics(str(path), DataConfig(), dataset), 4)
    assert [field.name for field in found.number_fields] == ["height"]
    np.testing.assert_array_equal(found.numbers.ravel(), [np.nan, 1.75, -2000, np.nan])
    assert found.codes.ravel().tolist() == [0, 2, 1, 0]
    for value in ("tall", "nan", "inf"):
        path.write_text(f"user,height:number\nu1,1\nu2,{value}\n")
        with pytest.raises(UserError, match=f"line 3: height '{value}'; a finite number, or empty"):
            read_demographics(str(path), DataConfig(), dataset)
    path.write_text("user,height:number,height\nu1,1,tall\n")
    with pytest.raises(UserError, match="field height is given by two"):
        join(read_demographics(str(path), DataConfig(), dataset), 4)
