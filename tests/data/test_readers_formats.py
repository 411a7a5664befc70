"""Random interactions written in each format come back as the same raw triples."""

import csv
import dataclasses
import gzip
import io
import json
import pathlib

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxrec.data.config import ColumnsConfig, DataConfig
from jaxrec.data.readers import blocks, delimited, read
from jaxrec.data.readers.delimited import Layout

AUTO = DataConfig()
SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

numbers = st.integers(0, 10**6).map(str)
plain = st.text("abcXYZ019_-é日", min_size=1, max_size=14)
awkward = st.text("ab1,\"\t'\n ;|é", min_size=1, max_size=6).filter(str.strip)


def events(ids):
    times = st.integers(-(10**9), 2 * 10**9)
    rating = st.floats(-10, 10, width=32).map(float)
    return st.lists(st.tuples(ids, ids, rating, times), min_size=1, max_size=30)


def triples(result):
    """(user, item, rating, timestamp) of every interaction, sorted, with raw ids."""
    got = result.interactions
    users, items = got.users.decode(got.user_ids).tolist(), got.items.decode(got.item_ids).tolist()
    ratings = [None] * len(got) if got.ratings is None else got.ratings.tolist()
    times = [None] * len(got) if got.timestamps is None else got.timestamps.tolist()
    return list(zip(users, items, ratings, times, strict=True))


def write_delimited(path, rows, separator, header=("user", "item", "rating", "timestamp")):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=separator)
        writer.writerow(header)
        writer.writerows(rows)


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t")])
@SETTINGS
@given(rows=events(awkward) | events(plain) | events(numbers))
def test_delimited_text_round_trips(tmp_path, rows, suffix, separator):
    path = tmp_path / f"events.{suffix}"
    write_delimited(path, rows, separator)
    result = read(AUTO, path)
    assert result.format == suffix
    assert triples(result) == rows


@SETTINGS
@given(rows=events(awkward) | events(plain), size=st.integers(1, 200))
def test_blocks_of_any_size_give_the_same_rows(tmp_path, rows, size):
    path = tmp_path / "events.csv"
    write_delimited(path, rows, ",")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks.read_blocks, "__defaults__", (size, b""))
        # A quoted field longer than the limit of blocks in quotes is not the subject here.
        patch.setattr(blocks, "MAX_BLOCKS_IN_QUOTES", 10**6)
        assert triples(read(AUTO, path)) == rows


@SETTINGS
@given(rows=events(plain) | events(numbers))
def test_parquet_round_trips(tmp_path, rows):
    path = tmp_path / "events.parquet"
    pl.DataFrame(rows, schema=["user", "item", "rating", "timestamp"], orient="row").write_parquet(path)
    assert triples(read(AUTO, path)) == rows


@SETTINGS
@given(rows=events(plain) | events(numbers))
def test_recbole_round_trips(tmp_path, rows):
    path = tmp_path / "set.inter"
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    path.write_text(header + "".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    result = read(AUTO, path)
    assert result.format == "recbole"
    assert triples(result) == rows


@SETTINGS
@given(rows=events(numbers))
def test_movielens_round_trips(tmp_path, rows):
    path = tmp_path / "ratings.dat.gz"
    path.write_bytes(gzip.compress("".join("::".join(map(str, row)) + "\n" for row in rows).encode()))
    result = read(AUTO, path)
    assert result.format == "movielens"
    assert triples(result) == rows


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("year", [2018, 2023])
@SETTINGS
@given(rows=events(awkward) | events(plain))
def test_amazon_reviews_round_trip(tmp_path, rows, year, literal):
    path = tmp_path / "reviews.json.gz"
    names = ("reviewerID", "asin", "overall", "unixReviewTime") if year == 2018 else None
    names = names or ("user_id", "parent_asin", "rating", "timestamp")
    unit = 1 if year == 2018 else 1000
    objects = [
        dict(zip(names, (user, item, rating, time * unit), strict=True)) | {"style": {"Size:": " 7 oz"}, "text": "x\ny"}
        for user, item, rating, time in rows
    ]
    lines = [repr(entry) if literal else json.dumps(entry) for entry in objects]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    result = read(AUTO, path)
    assert result.format == "amazon"
    assert triples(result) == rows


@SETTINGS
@given(lists=st.dictionaries(numbers, st.lists(numbers, max_size=8), min_size=1, max_size=10))
def test_id_lists_round_trip_and_sequences_number_the_events(tmp_path, lists):
    if not any(lists.values()):
        lists = {"0": ["0"]}
    path = tmp_path / "graph.txt"
    path.write_text("".join(" ".join([user, *items]) + "\n" for user, items in lists.items()))
    pairs = [(user, item, place) for user, items in lists.items() for place, item in enumerate(items)]
    adjacency = read(dataclasses.replace(AUTO, format="adjacency"), path)
    assert triples(adjacency) == [(user, item, None, None) for user, item, _ in pairs]
    sequences = read(dataclasses.replace(AUTO, format="sequences"), path)
    assert triples(sequences) == [(user, item, None, place) for user, item, place in pairs]


def test_bulk_and_row_parser_agree_on_rows_with_quotes(tmp_path, monkeypatch):
    rows = [("a b", 'say "x"', 1.0, 1), ("7", "1,5", 2.0, 2), ("é", "l1\nl2", 3.0, 3), ("007", "z", 4.0, 4)]
    path = tmp_path / "events.csv"
    write_delimited(path, rows, ",")
    assert triples(read(AUTO, path)) == rows
    monkeypatch.setattr(delimited, "_split_in_bulk", lambda block, layout: None)
    assert triples(read(AUTO, path)) == rows


@settings(max_examples=300, deadline=None)
@given(text=st.text('ab1," \r\n\0é', min_size=1, max_size=24))
def test_bulk_parser_never_disagrees_with_the_row_parser(text):
    layout = Layout(("user", "item", "note"), {"user": 0, "item": 1}, ",", '"')
    data = text.rstrip("\r\n").encode() + b"\n"
    block = blocks.Block(data, 1)
    bulk = delimited._split_in_bulk(block, layout)
    if bulk is not None:
        problems = []
        rows = delimited._split_by_row(block, layout, pathlib.Path("x"), problems)
        assert not problems
        assert bulk.fill_null("").rows() == rows.rows()


def test_plain_rows_take_the_bulk_path(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("split row by row")

    monkeypatch.setattr(delimited, "_split_by_row", refuse)
    path = tmp_path / "events.csv"
    path.write_bytes(b'\xef\xbb\xbf"user",item,rating\r\n"a",1,5\r\nb,2,4.5\r\n')
    assert triples(read(AUTO, path)) == [("a", "1", 5.0, None), ("b", "2", 4.5, None)]


def test_columns_are_mapped_by_name_and_others_ignored(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('when, note ,who,what,did\n10,"a, b",u1,i1,view\n20,,u2,i1,buy\n')
    columns = ColumnsConfig(user="who", item="what", timestamp="when", behavior="did")
    got = read(DataConfig(columns=columns), path).interactions
    assert got.behavior_names == ("buy", "view")
    assert got.behaviors is not None
    assert [got.behavior_names[index] for index in got.behaviors] == ["view", "buy"]
    assert got.timestamps is not None
    assert got.timestamps.tolist() == [10, 20]
    assert got.ratings is None
    assert got.parts is None


def test_dtypes_are_those_of_the_contract(tmp_path):
    path = tmp_path / "events.tsv"
    path.write_text("user\titem\tbehaviour\trating\ttimestamp\n1\t2\t0\t3\t1433221969.7\n1\t3\t2\t4\t-5\n")
    got = read(AUTO, path).interactions
    assert [got.user_ids.dtype, got.item_ids.dtype] == [np.int32, np.int32]
    assert got.ratings is not None
    assert got.ratings.dtype == np.float32
    assert got.timestamps is not None
    assert got.timestamps.dtype == np.int64
    assert got.timestamps.tolist() == [1433221969, -5]
    assert got.behaviors is not None
    assert got.behaviors.dtype == np.int8
    assert got.behavior_names == ("0", "2")
    assert got.users.raw.dtype.kind == "U"


@pytest.mark.parametrize(
    ("raw", "ordered"),
    [(["10", "9", "-3", "07", "7"], ["-3", "07", "7", "9", "10"]), (["10", "9", "b", "a"], ["10", "9", "a", "b"])],
)
def test_integer_ids_do_not_depend_on_the_order_of_rows(tmp_path, raw, ordered):
    for rows in (raw, raw[::-1], raw + raw):
        path = tmp_path / "events.csv"
        path.write_text("user,item\n" + "".join(f"{entry},x{entry}\n" for entry in rows))
        got = read(AUTO, path).interactions
        assert got.users.raw.tolist() == ordered
        assert got.users.encode(ordered).tolist() == list(range(len(ordered)))
        assert got.users.decode(got.user_ids).tolist() == rows


def test_parquet_times_and_integer_ids(tmp_path):
    path = tmp_path / "x.parquet"
    times = pl.Series([0, 1500]).cast(pl.Datetime("ms"))
    pl.DataFrame({"user": [2, 10], "item": ["a", "b"], "timestamp": times}).write_parquet(path)
    got = read(AUTO, path).interactions
    assert got.users.raw.tolist() == ["2", "10"]
    assert got.timestamps is not None
    assert got.timestamps.tolist() == [0, 1]


def test_dates_of_yelp_and_steam_reviews(tmp_path):
    yelp = tmp_path / "yelp.json"
    review = {"review_id": "r", "user_id": "u", "business_id": "b", "stars": 4.0, "text": "t"}
    lines = [review | {"date": "1970-01-02 00:00:01"}, review | {"date": "1970-01-03"}]
    yelp.write_text("\n".join(map(json.dumps, lines)))
    result = read(AUTO, yelp)
    assert result.format == "yelp"
    assert triples(result) == [("u", "b", 4.0, 86401), ("u", "b", 4.0, 172800)]
    steam = tmp_path / "steam.json"
    steam.write_text(
        "{u'username': u'Chaos \\xe9', u'product_id': u'725280', u'date': u'1970-01-02', u'text': u\"it's\"}\n"
    )
    result = read(AUTO, steam)
    assert result.format == "steam"
    assert triples(result) == [("Chaos é", "725280", None, 86400)]


def test_gzip_needs_no_suffix(tmp_path):
    path = tmp_path / "packed.csv"
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as packed:
        packed.write(b"user,item\r\na,1\r\n")
    # Two members, as written by concatenation.
    path.write_bytes(stream.getvalue() + gzip.compress(b"b,2\n\n"))
    assert triples(read(AUTO, path)) == [("a", "1", None, None), ("b", "2", None, None)]
