"""Bad input stops with one line that names file, line, column, value and what is allowed; or is counted."""

import dataclasses
import gzip
import json

import polars as pl
import pytest

from jaxrec.data.config import ColumnsConfig, DataConfig
from jaxrec.data.readers import read
from jaxrec.errors import UserError

AUTO = DataConfig()
SKIP = DataConfig(on_bad_row="skip")
HEADER = "user,item,rating,timestamp\n"


def message(config, path):
    with pytest.raises(UserError) as caught:
        read(config, path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path if path.is_file() else path.parent) in text
    return text


def says(text, *parts):
    for part in parts:
        assert part in text, text


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "ratings.csv").write_text("user,item\n1,2\n")
    says(message(AUTO, tmp_path / "rating.csv"), "no such file or folder", "nearest is", "ratings.csv")


@pytest.mark.parametrize("keep", [5, -6, -20])
def test_a_truncated_gzip(tmp_path, keep):
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress((HEADER + "1,2,3,4\n" * 50).encode())[:keep])
    for config in (AUTO, SKIP):
        says(message(config, path), "truncated gzip")


def test_a_damaged_gzip(tmp_path):
    path = tmp_path / "events.csv.gz"
    data = bytearray(gzip.compress("".join(f"{n},{n * n}\n" for n in range(5000)).encode()))
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))
    says(message(dataclasses.replace(AUTO, format="csv"), path), "damaged gzip")


def test_a_missing_column_names_those_found_and_the_nearest(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("userId,movieId,stars\n1,2,3\n")
    says(message(AUTO, path), "'user'", "userId, movieId, stars", "--data.columns.user userId")
    columns = ColumnsConfig(user="userId", item="movieId", rating="star")
    says(message(DataConfig(columns=columns), path), "'star'", "--data.columns.rating stars")


def test_a_repeated_column(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,user\n1,2,3\n")
    says(message(AUTO, path), "line 1", "'user' more than once")


def test_one_column_for_two_roles(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("user,item\n1,2\n")
    says(message(DataConfig(columns=ColumnsConfig(item="user")), path), "both user and item")


# Each bad line stands third (physical line 4) in a file of five rows.
BAD_CSV_ROWS = [
    ("3,4,five,6", ("line 4, column 'rating'", "'five'", "number")),
    ("3,4,,6", ("line 4, column 'rating'", "number")),
    ("3,4,nan,6", ("line 4, column 'rating'", "'nan'")),
    ("3,4,1e39,6", ("line 4, column 'rating'", "'1e39'")),
    ("3,4,5,noon", ("line 4, column 'timestamp'", "'noon'", "seconds")),
    ("3,4,5,inf", ("line 4, column 'timestamp'", "'inf'")),
    (",4,5,6", ("line 4, column 'user'", "non-empty id")),
    ("3, ,5,6", ("line 4, column 'item'", "' '", "non-empty id")),
    ('3,"",5,6', ("line 4, column 'item'", "non-empty id")),
    ("3,4\0,5,6", ("line 4, column 'item'",)),
    ("", ("line 4", "empty line", "4 fields")),
    ("3,4,5", ("line 4", "3 fields", "4 fields are needed (user, item, rating, timestamp)")),
    ("3,4,5,6,7", ("line 4", "5 fields", "4 fields are needed")),
    ('3,"4,5,6', ("line 4", "cannot be split")),
    ("3,\udcff,5,6", ("line 4", "UTF-8")),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("row", "parts"), BAD_CSV_ROWS)
def test_a_bad_csv_row_is_named_or_counted(tmp_path, row, parts, end):
    path = tmp_path / "events.csv"
    rows = [HEADER.strip(), "1,2,3,4", "2,3,4,5", row, "4,5,6,7", "5,6,7,8"]
    path.write_bytes(end.join(rows).encode(errors="surrogateescape"))
    says(message(AUTO, path), *parts)
    result = read(SKIP, path)
    assert result.skipped_rows == 1
    assert str(path) in result.examples[0]
    says(result.examples[0], *parts)
    if not row.startswith('3,"4'):  # an open quote takes the rest of the file with it
        assert result.interactions.users.raw.tolist() == ["1", "2", "4", "5"]


def test_a_long_row_does_not_make_up_for_a_short_one(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("user,item,note\n1,2,\n1,2\n3,4,5,6\n")
    says(message(AUTO, path), "line 3", "2 fields")
    result = read(SKIP, path)
    assert result.skipped_rows == 2
    assert result.interactions.users.raw.tolist() == ["1"]


def test_the_first_bad_line_is_the_one_named(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + "1,2,x,4\n1,2\n1,2,3,y\n,2,3,4\n")
    says(message(AUTO, path), "line 2, column 'rating'")
    (tmp_path / "other.csv").write_text(HEADER + "1,2\n1,2,x,4\n")
    says(message(AUTO, tmp_path / "other.csv"), "line 2", "2 fields")


def test_examples_of_skipped_rows_are_few_and_the_count_is_whole(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + "1,2,x,4\n" * 40 + "1,2\n" * 30 + "1,2,3,4\n")
    result = read(SKIP, path)
    assert result.skipped_rows == 70
    assert len(result.examples) == 5
    assert len(result.interactions) == 1


def test_a_bad_rating_stops_the_load_even_where_only_behaviours_are_wanted(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("user,item,behavior,rating\n1,2,view,3\n1,2,view,-\n")
    says(message(AUTO, path), "line 3, column 'rating'", "'-'")


@pytest.mark.parametrize("content", ["", "\n\n", "user,item\n", "user,item", "\ufeffuser,item\r\n\r\n", "\ufeff"])
@pytest.mark.parametrize("data_format", ["auto", "csv"])
def test_no_rows(tmp_path, content, data_format):
    path = tmp_path / "events.csv"
    path.write_text(content, encoding="utf-8")
    text = message(dataclasses.replace(AUTO, format=data_format), path)
    assert "0 rows" in text or "line 1: found an empty line" in text


def test_nothing_but_bad_rows(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + "1,2,x,4\n")
    says(message(SKIP, path), "0 rows", "1 bad rows skipped", "'x'")


def test_one_user_is_no_error(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("user,item\n1,2\n1,3\n")
    assert len(read(AUTO, path).interactions.users) == 1


@pytest.mark.parametrize("literal", [False, True])
def test_a_corrupt_json_line(tmp_path, literal):
    path = tmp_path / "reviews.json"
    good = {"reviewerID": "u", "asin": "b", "overall": 5.0, "unixReviewTime": 1}
    lines = [json.dumps(good), json.dumps(good | {"overall": "good"}), json.dumps(good)[:-9], "", "[1]"]
    lines += [json.dumps(good | {"asin": None}), json.dumps(good | {"asin": ["x"]}), json.dumps(good)]
    if literal:
        lines = [repr(json.loads(line)) if line.endswith("}") else line for line in lines]
    found = ["line 2, column 'overall': found 'good'", "line 3", "line 4", "line 5", "line 6, column 'asin'"]
    for number, part in enumerate(found, start=1):
        path.write_text("\n".join([lines[0]] * number + lines[number:]))
        says(message(AUTO, path), part)
    path.write_text("\n".join(lines))
    result = read(SKIP, path)
    assert result.skipped_rows == 6
    assert len(result.interactions) == 2


def test_json_of_an_unknown_source(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"who": 1, "what": 2}\n')
    says(message(AUTO, path), "who, what")
    says(message(dataclasses.replace(AUTO, format="amazon"), path), "who, what", "reviewerID and asin")


@pytest.mark.parametrize("data_format", ["adjacency", "sequences"])
@pytest.mark.parametrize(
    ("line", "parts"), [("3 4 x", ("line 2", "'x'")), ("", ("line 2", "empty line")), ("3,4", ("line 2", "'3,4'"))]
)
def test_a_bad_line_of_ids(tmp_path, line, parts, data_format):
    path = tmp_path / "graph.txt"
    path.write_text(f"1 2 3\n{line}\n4 5\n6 \n")
    says(message(dataclasses.replace(AUTO, format=data_format), path), *parts, "integer ids")
    result = read(dataclasses.replace(SKIP, format=data_format), path)
    assert result.skipped_rows == 1
    assert result.interactions.users.raw.tolist() == ["1", "4"]


def test_lines_of_ids_of_an_unknown_order_must_be_declared(tmp_path):
    path = tmp_path / "graph.txt"
    path.write_text("1 2 3\n")
    says(message(AUTO, path), "--data.format sequences or --data.format adjacency")


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ("1::2::x::4", ("'rating'", "'x'")),
        ("1::2::3", ("3 fields",)),
        ("", ("empty line",)),
        ("::2::3::4", ("'user'",)),
    ],
)
def test_a_bad_movielens_row(tmp_path, row, parts):
    path = tmp_path / "ratings.dat"
    path.write_text(f"1::2::3::4\n{row}\n1::2::3::4\n", encoding="latin-1")
    says(message(AUTO, path), "line 2", *parts)


def test_a_bad_recbole_header(tmp_path):
    path = tmp_path / "x.inter"
    path.write_text("user_id:token\titem_id:number\n1\t2\n")
    says(message(dataclasses.replace(AUTO, format="recbole"), path), "item_id:number", "token_seq")
    path.write_text("user_id:token\titem:token\n1\t2\n")
    says(message(AUTO, path), "item_id", "--data.columns.item item")


def test_bad_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    pl.DataFrame({"user": ["a", None], "item": [1, 2], "rating": [1.0, 2.0]}).write_parquet(path)
    says(message(AUTO, path), "row 2, column 'user'", "nothing")
    assert read(SKIP, path).skipped_rows == 1
    path.write_bytes(path.read_bytes()[:-20])
    says(message(AUTO, path), "Parquet")
    pl.DataFrame({"user": [["a"]], "item": [1]}).write_parquet(path)
    says(message(AUTO, path), "column 'user'", "List")


def test_content_of_no_known_format(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"\x00\x01\x02" * 10)
    says(message(AUTO, path), "binary")
    path.write_text(HEADER + "1,2,3,4\n", encoding="utf-16")
    says(message(AUTO, path), "binary")
    says(message(dataclasses.replace(AUTO, format="csv"), path), "line 1", "UTF-16")
    path.write_text("hello\nworld\n")
    says(message(AUTO, path), "--data.format", "movielens")


def test_more_behaviours_than_a_byte_holds(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("user,item,behavior\n" + "".join(f"1,2,b{number}\n" for number in range(128)))
    says(message(AUTO, path), "128 behaviours", "127")
