"""A folder has one reading: its parts or its one file of interactions, its id maps and its item text."""

import json

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.readers import read
from jaxrec.errors import UserError

AUTO = DataConfig()


def write(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def lines(*objects):
    return "".join(json.dumps(entry) + "\n" for entry in objects)


def message(path, config=AUTO):
    with pytest.raises(UserError) as caught:
        read(config, path)
    return str(caught.value)


def names(result):
    return [file.name for file in result.files]


def test_parts_are_numbered_and_share_one_pair_of_id_maps(tmp_path):
    write(tmp_path, train__csv="user,item\nb,1\na,2\n", val__csv="user,item\na,10\n", test__csv="user,item\nc,1\n")
    result = read(AUTO, tmp_path)
    got = result.interactions
    assert got.parts is not None
    assert got.parts.dtype == np.int8
    assert got.parts.tolist() == [0, 0, 1, 2]
    assert got.users.raw.tolist() == ["a", "b", "c"]
    assert got.items.raw.tolist() == ["1", "2", "10"]
    assert got.item_ids.tolist() == [0, 1, 2, 0]
    assert names(result) == ["train.csv", "val.csv", "test.csv"]
    assert result.item_text is None


def test_parts_may_be_absent_and_lists_of_ids_in_parts_are_adjacency(tmp_path):
    write(tmp_path, valid__txt="0 1 2\n", test__txt="0 3\n1\n", README__md="0 1")
    result = read(AUTO, tmp_path)
    assert result.format == "adjacency"
    assert result.interactions.parts is not None
    assert result.interactions.parts.tolist() == [1, 1, 2]
    assert result.interactions.timestamps is None


def test_parts_of_recbole_files(tmp_path):
    for part in ("train", "valid", "test"):
        (tmp_path / f"ml.{part}.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    got = read(AUTO, tmp_path).interactions
    assert got.parts is not None
    assert got.parts.tolist() == [0, 1, 2]


def test_parts_of_two_formats_or_other_columns_are_refused(tmp_path):
    write(tmp_path, train__csv="user,item,rating\n1,2,3\n", test__csv="user,item\n1,3\n")
    assert "optional columns" in message(tmp_path)
    write(tmp_path, test__csv="user\titem\n1\t3\n")
    assert "format tsv" in message(tmp_path)


@pytest.mark.parametrize(
    "files",
    [("train.csv", "train.tsv"), ("train.csv", "ratings.csv"), ("a.csv", "b.csv"), ("events.csv", "interactions.csv")],
)
def test_more_than_one_reading_names_the_candidates(tmp_path, files):
    for name in files:
        (tmp_path / name).write_text("user,item\n1,2\n")
    text = message(tmp_path)
    assert "\n" not in text
    assert all(name in text for name in files)


def test_a_declared_format_settles_an_ambiguity(tmp_path):
    write(tmp_path, ratings__csv="user,item\n1,2\n", ratings__dat="1::2::3::4\n1::3::3::4\n")
    assert len(read(DataConfig(format="movielens"), tmp_path).interactions) == 2
    assert len(read(DataConfig(format="csv"), tmp_path).interactions) == 1
    assert "ratings.csv, ratings.dat" in message(tmp_path)


def test_known_names_come_before_other_files(tmp_path):
    write(tmp_path, ratings__csv="user,item\n1,2\n", links__csv="movie,link\n1,2\n")
    assert names(read(AUTO, tmp_path)) == ["ratings.csv"]


def test_a_folder_in_which_nothing_is_recognised(tmp_path):
    assert "no files" in message(tmp_path)
    write(tmp_path, notes__md="hello", item_text__jsonl="{}")
    text = message(tmp_path)
    assert "item_text.jsonl, notes.md" in text
    assert "train|valid|test" in text


def test_raw_ids_come_from_declared_maps(tmp_path):
    write(
        tmp_path,
        train__csv="user,item\n0,1\n1,0\n",
        item_asin__jsonl=lines({"iid": 0, "asin": "B1"}, {"iid": 1, "asin": "A9"}, {"iid": 2, "asin": "C"}),
        user_list__txt="org_id remap_id\nanna 0\nbob 1\n",
        item_text__jsonl=lines({"item": 1, "title": "Tea"}, {"item": "B1", "title": "Pot", "size": 3}),
    )
    result = read(AUTO, tmp_path)
    got = result.interactions
    assert got.users.decode(got.user_ids).tolist() == ["anna", "bob"]
    assert got.items.decode(got.item_ids).tolist() == ["A9", "B1"]
    assert got.items.raw.tolist() == ["A9", "B1"]
    assert result.item_text == {"A9": "Tea", "B1": "Pot"}
    assert names(result) == ["train.csv", "item_asin.jsonl", "user_list.txt", "item_text.jsonl"]


def test_an_id_outside_a_declared_map(tmp_path):
    write(
        tmp_path,
        train__csv="user,item\n0,1\n0,7\n",
        test__csv="user,item\n0,0\n",
        item_product__jsonl=lines({"iid": 0, "product_id": 5}, {"iid": 1, "product_id": 6}),
    )
    text = message(tmp_path)
    assert f"{tmp_path / 'train.csv'}: line 3, column 'item': found '7'" in text
    assert "one of the 2 ids of item_product.jsonl" in text
    result = read(DataConfig(on_bad_row="skip"), tmp_path)
    assert result.skipped_rows == 1
    assert result.interactions.items.raw.tolist() == ["5", "6"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (lines({"iid": 0, "asin": "a"}, {"iid": 0, "asin": "b"}), "line 2: found '0' again"),
        (lines({"iid": 0, "asin": "a"}, {"iid": 1, "asin": "a"}), "line 2: found 'a' again"),
        (lines({"iid": 0, "asin": "a"}) + "{\n", "line 2: found '{'"),
        (lines({"iid": 0, "asin": "a"}, {"iid": 1}), "line 2"),
    ],
)
def test_a_bad_map(tmp_path, content, part):
    write(tmp_path, train__csv="user,item\n0,0\n", item_asin__jsonl=content)
    assert part in message(tmp_path)


def test_two_maps_of_one_side(tmp_path):
    write(tmp_path, train__csv="user,item\n0,0\n", item_asin__jsonl='{"iid": 0, "asin": "a"}\n')
    write(tmp_path, item_product__jsonl='{"iid": 0, "product_id": "a"}\n')
    assert "second map of item ids" in message(tmp_path)


def test_a_file_is_read_alone(tmp_path):
    write(tmp_path, train__csv="user,item\n0,0\n", item_asin__jsonl='{"iid": 0, "asin": "a"}\n')
    result = read(AUTO, tmp_path / "train.csv")
    assert names(result) == ["train.csv"]
    assert result.interactions.items.raw.tolist() == ["0"]
    assert result.interactions.parts is None
